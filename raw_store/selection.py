"""Which fetches are meant: by address, by request key, or by a predicate over their metadata.

The predicate is one SQL expression over the columns of one row. DuckDB evaluates it over a
segment's metadata at a time, in a connection that reads no file; bodies are not read.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from .errors import SelectionInvalid
from .models import Segment
from .payload import canonical_url
from .rows import METADATA_COLUMNS, SCHEMA
from .segments import iter_tables

_REMEMBERED = 100_000
"""Addresses of which it is kept in memory whether they match."""

By = Literal["url", "key", "where"]

COLUMNS = [name for name in METADATA_COLUMNS if name != "request_body"]
"""What a predicate may speak of."""

SELECTED = pa.schema(
    [
        *(
            SCHEMA.field(name)
            for name in (
                "fetch_id",
                "run_id",
                "feed",
                "method",
                "url",
                "request_key",
                "status",
                "fetched_at",
                "payload_id",
                "body_digest",
                "body_size",
                "encoded_digest",
            )
        ),
        ("segment", pa.string()),  # the path of the segment it lies in
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for."""

    by: By
    text: str
    """The address, the request key or the predicate."""
    feed: str | None = None
    """Only of this feed."""


def select(url: str, asked: Asked) -> pa.Table:
    """The fetches that are meant, and the revisits of the bodies they hold; columns `SELECTED`.

    A fetch that lies in two segments is there twice. `url` is the archive's address. Raises
    `SelectionInvalid`, and `SegmentCorrupt`: what cannot be read might be meant, too.
    """
    every = list(_segments(asked.feed))
    matches = _matcher(asked)
    found = [SELECTED.empty_table()]
    for segment in every:
        if asked.by == "key" and not _may_hold_key(segment, asked.text):
            continue
        for table in iter_tables(url, segment.path, COLUMNS):
            found.append(_selected(table.filter(matches(table)), segment))
    chosen = pa.concat_tables(found)
    holders = chosen.filter(pc.equal(chosen["payload_id"], chosen["fetch_id"]))
    feeds = set(holders["feed"].to_pylist())
    revisits = _revisits(
        url,
        [segment for segment in every if segment.feed in feeds],
        holders["fetch_id"].combine_chunks(),
        chosen["fetch_id"].combine_chunks(),
    )
    return pa.concat_tables([chosen, revisits])


def check(asked: Asked) -> None:
    """Raise `SelectionInvalid` for a predicate that is none, without reading anything."""
    _matcher(asked)(pa.schema([SCHEMA.field(name) for name in COLUMNS]).empty_table())


def _segments(feed: str | None) -> Iterable[Segment]:
    found = Segment.objects.order_by("name")
    return found if feed is None else found.filter(feed=feed)


def _may_hold_key(segment: Segment, key: str) -> bool:
    first, last = segment.first_request_key, segment.last_request_key
    return first is None or last is None or first <= key <= last


def _selected(table: pa.Table, segment: Segment) -> pa.Table:
    path = pa.nulls(table.num_rows, pa.string()).fill_null(segment.path)
    return table.append_column("segment", path).select(SELECTED.names).cast(SELECTED)


def revisits_of(url: str, feeds: Collection[str], holders: pa.Array) -> pa.Table:
    """The rows of these feeds, beside the `holders` themselves, that name one of them as holder of
    their body. `holders` are fetch ids; columns `SELECTED`."""
    return _revisits(url, Segment.objects.filter(feed__in=feeds).order_by("name"), holders, holders)


def _revisits(
    url: str, segments: Iterable[Segment], holders: pa.Array, known: pa.Array
) -> pa.Table:
    found = [SELECTED.empty_table()]
    columns = [name for name in SELECTED.names if name != "segment"]
    for segment in segments if len(holders) else ():
        for table in iter_tables(url, segment.path, columns):
            named = pc.is_in(table["payload_id"], holders)
            new = pc.invert(pc.is_in(table["fetch_id"], known))
            found.append(_selected(table.filter(pc.and_(named, new)), segment))
    return pa.concat_tables(found)


def _matcher(asked: Asked) -> Any:
    if asked.by == "key":
        return lambda table: pc.equal(table["request_key"], asked.text)
    if asked.by == "url":
        return _ByUrl(asked.text)
    return _ByPredicate(asked.text)


class _ByUrl:
    """Whether the addresses are the same in canonical form, whatever the method."""

    def __init__(self, url: str) -> None:
        self._wanted = canonical_url(url)
        self._known: dict[str, bool] = {}

    def __call__(self, table: pa.Table) -> pa.Array:
        return pa.array([self._matches(url) for url in table["url"].to_pylist()], pa.bool_())

    def _matches(self, url: str) -> bool:
        found = self._known.get(url)
        if found is None:
            if len(self._known) == _REMEMBERED:
                self._known.clear()
            try:
                found = canonical_url(url) == self._wanted
            except ValueError:
                found = url == self._wanted
            self._known[url] = found
        return found


class _ByPredicate:
    """Whether one SQL expression is true of a row."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._connection = duckdb.connect(
            config={"python_enable_replacements": False, "autoinstall_known_extensions": False}
        )
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET threads = 1")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")
        _refuse_more_than_an_expression(self._connection, text)

    def __call__(self, table: pa.Table) -> pa.Array:
        try:
            rows = self._connection.from_arrow(table)
            # Binding it as a filter refuses what is not of one row: aggregates and windows.
            rows.filter(duckdb.SQLExpression(f"({self._text}\n)"))
            # As a projection, not as a filter: the rows keep their number and their order.
            answer = rows.select(
                duckdb.SQLExpression(f"coalesce(({self._text}\n)::BOOLEAN, false)")
            ).to_arrow_table()
        except duckdb.Error as error:
            raise SelectionInvalid(
                f"--where {self._text!r} cannot be evaluated: {_first_line(error)} "
                f"Columns: {', '.join(COLUMNS)}."
            ) from None
        return answer.column(0).combine_chunks()


def _refuse_more_than_an_expression(connection: duckdb.DuckDBPyConnection, predicate: str) -> None:
    """Raise `SelectionInvalid` for several statements, for a set operation, for a subquery."""
    asked = f"SELECT 1 FROM rows WHERE ({predicate}\n)"
    ((said,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [asked]).fetchall()
    tree = json.loads(said)
    if tree.get("error"):
        raise SelectionInvalid(
            f"--where {predicate!r} is not an SQL expression: {tree.get('error_message')}"
        )
    statements = [each["node"] for each in tree["statements"]]
    is_plain = len(statements) == 1 and statements[0]["type"] == "SELECT_NODE"
    if is_plain:
        node = dict(statements[0])
        where = node.pop("where_clause")
        others = ("group_expressions", "having", "qualify", "modifiers", "sample")
        is_plain = not any(node.get(name) for name in others) and "SUBQUERY" not in set(
            _classes(where)
        )
    if not is_plain:
        raise SelectionInvalid(
            f"--where {predicate!r} is more than one expression over the columns of a row: "
            "no subquery, no second statement. "
            "Example: --where \"url LIKE '%/users/7/%' AND status = 200\"."
        )


def _classes(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("class"), str):
            yield node["class"]
        for value in node.values():
            yield from _classes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _classes(value)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") + "."
