"""Answers as people and programs read them: a table, CSV, or JSON."""

import csv
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal, TextIO

from .reader import Answer

Format = Literal["table", "csv", "json"]
FORMATS: tuple[Format, ...] = ("table", "csv", "json")
CELL_WIDTH = 60

# What a page put into a text must not reach the terminal as a command.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NOT_FINITE = re.compile(r"\b(NaN|Infinity)\b")


def write_answer(answer: Answer, out: TextIO, form: Format, *, limit: int | None = None) -> None:
    """Write the rows in the given form; of a table, at most `limit`, saying so when there are more.

    For JSON the answer must have been asked for as JSON.
    """
    if form == "csv":
        _write_csv(answer, out)
    elif form == "json":
        _write_json(answer, out)
    elif answer.columns[0] == "explain_key":
        for _, plan in answer.rows:
            out.write(f"{plan}\n")
    else:
        _write_table(answer, out, limit)


def _write_csv(answer: Answer, out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)


def _write_json(answer: Answer, out: TextIO) -> None:
    names = [json.dumps(name, ensure_ascii=False) for name in _unique(answer.columns)]
    separator = "["
    for row in answer.rows:
        pairs = zip(names, map(_json_value, row), strict=True)
        out.write(separator + "{" + ", ".join(f"{name}: {value}" for name, value in pairs) + "}")
        separator = ",\n "
    out.write("[]\n" if separator == "[" else "]\n")


def _json_value(value: str | None) -> str:
    if value is None:
        return "null"
    if _NOT_FINITE.search(value):
        # DuckDB writes what JSON has no word for.
        return json.dumps(json.loads(value, parse_constant=lambda _: None), ensure_ascii=False)
    return value


def _unique(names: Sequence[str]) -> list[str]:
    taken: dict[str, int] = {}
    unique = []
    for name in names:
        taken[name] = taken.get(name, 0) + 1
        unique.append(name if taken[name] == 1 else f"{name}_{taken[name]}")
    return unique


def _write_table(answer: Answer, out: TextIO, limit: int | None) -> None:
    shown: list[list[str]] = []
    has_more = False
    for row in answer.rows:
        if limit is not None and len(shown) == limit:
            has_more = True
            break
        shown.append([_cell(value) for value in row])
    heads = [_cell(name) for name in answer.columns]
    widths = [max(map(_width, column)) for column in zip(heads, *shown, strict=True)]
    numeric = [answer.is_number(position) for position in range(len(heads))]
    out.write(_line(heads, widths, [False] * len(heads)))
    out.write("─┼─".join("─" * width for width in widths) + "\n")
    for cells in shown:
        out.write(_line(cells, widths, numeric))
    if has_more:
        out.write(f"(the first {limit:,} rows; there are more)\n")
    else:
        out.write(f"({len(shown):,} row{'' if len(shown) == 1 else 's'})\n")


def _line(cells: Iterable[str], widths: Iterable[int], numeric: Iterable[bool]) -> str:
    padded = (
        " " * (width - _width(cell)) + cell if right else cell + " " * (width - _width(cell))
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    )
    return " │ ".join(padded).rstrip() + "\n"


def _cell(value: str | None) -> str:
    if value is None:
        return "NULL"
    text = _CONTROL.sub(" ", value)
    return text if len(text) <= CELL_WIDTH else f"{text[: CELL_WIDTH - 1]}…"


def _width(text: str) -> int:
    """The columns a terminal needs for it."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )
