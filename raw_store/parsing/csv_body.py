"""CSV: rows as dicts, and every row accounted for.

RFC 4180 with the variations that files have: another delimiter, another quote, any line ending.
What is between two delimiters is given as it is, blanks included.
"""

import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from raw_store.errors import BodyUnreadable

from .validation import validated_strings

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SNIFFED_ROWS = 1000

# Python's own bound, 128 kB, is a process-wide number and no property of the body.
csv.field_size_limit(2**31 - 1)


def parse(
    text: str,
    *,
    delimiter: str | None = None,
    quote: str = '"',
    columns: Sequence[str] | None = None,
    ragged: bool = False,
    as_: Any = None,
) -> Iterator[Any]:
    """The rows, each a dict of column → text, in order; with `as_`, each validated as that type.

    `columns` names them where the body has no header line; `quote=""` says that quotes mean
    nothing. Blank lines are passed over. A row of another length is an error, unless `ragged`:
    then the columns that a short row lacks are not in its dict, and what a long one has more is
    a list under the key None.
    """
    _refuse_long("delimiter", delimiter or ",")
    _refuse_long("quote", quote or '"')
    if not text.strip():
        if columns is not None:
            return
        raise BodyUnreadable("The body is not CSV. It is empty; not even a header line is there.")
    used = delimiter or sniff(text, quote=quote, ragged=ragged)
    rows = _rows(text, used, quote)
    if columns is None:
        line, header = next(rows)
        columns = _distinct(header, line)
    else:
        columns = _distinct(list(columns), 0)
    for line, row in rows:
        if len(row) != len(columns) and not ragged:
            raise BodyUnreadable(
                f"The body is not CSV as expected: the row at line {line} has {len(row)} values, "
                f"there are {len(columns)} columns{_wrong_delimiter(row, used)}. It begins "
                f"{_beginning(row)}. Rows of any length are read with payload.csv(ragged=True)."
            )
        named: dict[Any, Any] = dict(zip(columns, row, strict=False))
        if len(row) > len(columns):
            named[None] = row[len(columns) :]
        yield named if as_ is None else validated_strings(named, as_, f"line {line}")


def sniff(text: str, *, quote: str = '"', ragged: bool = False) -> str:
    """The delimiter, where there is no doubt about it.

    It is the only one of comma, semicolon, tab and bar that cuts each of the first 1,000 rows
    into equally many values, two at least; with `ragged`, the only one in the first row.
    """
    found = [each for each in DELIMITERS if _cuts(text, each, quote, 1 if ragged else SNIFFED_ROWS)]
    if len(found) == 1:
        return found[0]
    names = " and ".join(DELIMITERS[each] for each in found)
    which = (
        f"{names} would all do"
        if found
        else f"none of {', '.join(DELIMITERS.values())} cuts all rows into equally many values"
    )
    first = text.lstrip().partition("\n")[0].rstrip("\r")
    raise BodyUnreadable(
        f"The body's delimiter is in doubt: {which}. It begins {first[:80]!r}. "
        f"Name it: payload.csv(delimiter=…)."
    )


def _cuts(text: str, delimiter: str, quote: str, count: int) -> bool:
    try:
        widths = {len(row) for _, row in itertools.islice(_rows(text, delimiter, quote), count)}
    except BodyUnreadable:
        return False
    return len(widths) == 1 and widths.pop() > 1


def _rows(text: str, delimiter: str, quote: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the number of the line it begins on."""
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        strict=True,
    )
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            said = (
                f"a {quote} that opens there is never closed"
                if "unexpected end" in str(error)
                else f"{error} (a {quote} inside a quoted value is written twice)"
            )
            raise BodyUnreadable(
                f"The body is not CSV: in the row at line {line}, {said}. "
                f"It begins {_line(text, line)[:80]!r}."
            ) from None
        if row:
            yield line, row


def _line(text: str, number: int) -> str:
    lines = itertools.islice(io.StringIO(text, newline=""), number - 1, number)
    return next(lines, "").rstrip("\r\n")


def _distinct(columns: list[str], line: int) -> list[str]:
    twice = sorted(name for name, count in Counter(columns).items() if count > 1)
    if twice:
        where = f"the header at line {line}" if line else "columns="
        raise BodyUnreadable(
            f"The body's columns are not distinct: {where} names {', '.join(map(repr, twice))} "
            f"more than once. Name them yourself: payload.csv(columns=[…]) takes the first line "
            f"as a row, too."
        )
    return columns


def _wrong_delimiter(row: list[str], used: str) -> str:
    if len(row) > 1:
        return ""
    others = [name for each, name in DELIMITERS.items() if each != used and each in row[0]]
    return f" (cut at each {DELIMITERS.get(used, used)}; it has a {others[0]})" if others else ""


def _beginning(row: list[str]) -> str:
    said = repr(row)
    return said if len(said) <= 80 else f"{said[:80]}…"


def _refuse_long(what: str, given: str) -> None:
    if len(given) != 1:
        raise ValueError(f"{what}={given!r}: a {what} of a CSV body is one character.")
