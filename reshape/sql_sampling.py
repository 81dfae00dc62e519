"""A first transform from what a feed's bodies hold: their structure, written as a SELECT.

DuckDB tells the structure of a sample of bodies, its types as wide as the sample needs. Each
array of objects in it is a SELECT of its own, with a row for each element.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from raw_store.archive import Archive
from raw_store.segments import iter_readable_tables

from .sql import duck, quoted
from .sql_statement import LINEAGE, RELATION

SAMPLE_BODIES = 1_000
SAMPLE_BYTES = 64 * 1024 * 1024
_DEEPEST = 100
"""Levels of a body that DuckDB surely tells the structure of."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.S)
_BRACKET = re.compile(rb"[][{}]")
MOST_COLUMNS = 200
"""An object with more keys than this has data for keys; it is left whole, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A SELECT to begin with."""

    path: str
    """Where in a body its rows lie, as a JSON path."""
    record_count: int
    """Rows it gives over the sample."""
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What some of a feed's bodies hold."""

    body_count: int
    other_count: int
    """Bodies that are not JSON, and say nothing here."""
    drafts: tuple[Draft, ...]
    """A SELECT for each array of objects, that with the most rows first."""


def sample_columns(feed: str, archive: Archive, *, bodies: int = SAMPLE_BODIES) -> Sample:
    """Look at the newest `bodies` of a feed, or fewer where they are large, and draft SELECTs."""
    try:
        return _sampled(feed, archive, bodies)
    except duckdb.InternalException:
        # DuckDB tells no structure of what nests deeper, and then nothing else on that connection.
        return _sampled(feed, archive, bodies, deepest=_DEEPEST)


def _sampled(feed: str, archive: Archive, bodies: int, *, deepest: int | None = None) -> Sample:
    with duck() as connection:
        connection.execute("CREATE TABLE bodies (body VARCHAR)")
        other = 0
        for table in _newest(feed, archive, bodies):
            if deepest is not None:
                total = table.num_rows
                depths = [_depth(body or b"") for body in table["body"].to_pylist()]
                table = table.filter(pa.array([depth <= deepest for depth in depths], pa.bool_()))
                other += total - table.num_rows
            connection.register("given", table.select(["body"]))
            ((seen, kept),) = connection.execute(
                """
                SELECT count(*), count(*) FILTER (coalesce(json_valid(try(decode(body))), false))
                FROM given
                """
            ).fetchall()
            connection.execute(
                """
                INSERT INTO bodies SELECT decode(body) FROM given
                WHERE coalesce(json_valid(try(decode(body))), false)
                """
            ).fetchall()
            connection.unregister("given")
            other += seen - kept
        ((count, structure),) = connection.execute(
            "SELECT count(*), json_group_structure(body::JSON)::VARCHAR FROM bodies"
        ).fetchall()
        found = []
        for place, record in _records(orjson.loads(structure)) if structure else ():
            sql = _statement(feed, place, record)
            # The statement refuses bodies without its array; they give no row here.
            path = quoted(f"${_path_of(place[0])}") if place else ""
            has_it = f"json_type(body::JSON, {path}) = 'ARRAY'" if place else "true"
            connection.execute(
                f"CREATE OR REPLACE TEMP VIEW {RELATION} AS "
                f"SELECT '' AS {LINEAGE}, body::JSON AS json FROM bodies WHERE {has_it}"
            )
            ((rows,),) = connection.execute(f"SELECT count(*) FROM ({sql}\n)").fetchall()
            found.append(Draft(path=_json_path(place), record_count=rows, sql=sql))
    drafts = tuple(sorted(found, key=lambda draft: -draft.record_count))
    return Sample(body_count=count, other_count=other, drafts=drafts)


def _depth(body: bytes) -> int:
    """How deep the objects and arrays of JSON lie in each other."""
    depth = deepest = 0
    for sign in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if sign in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _newest(feed: str, archive: Archive, bodies: int) -> Iterator[pa.Table]:
    """The newest readable payloads of a feed, segment by segment, up to a number and a size."""
    left, bytes_left = bodies, SAMPLE_BYTES
    segments = archive.segments(feed)
    segments.sort(key=lambda s: (s.first_fetched_at or s.sealed_at, s.name), reverse=True)
    for segment in segments:
        for table in iter_readable_tables(archive.url, segment.path, ["body"]):
            some = table.slice(0, left)
            yield some
            left -= some.num_rows
            bytes_left -= some["body"].nbytes
            if left <= 0 or bytes_left <= 0:
                return


Place = tuple[tuple[str, ...], ...]
"""The keys to an array, from the body or from an element of the array before."""


def _records(structure: Any, place: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every array of objects: where it lies, and an element's structure. Else the body itself."""
    found = list(_arrays(structure, ()))
    if not place and not found and isinstance(structure, dict):
        yield (), structure
    for keys, element in found:
        yield (*place, keys), element
        yield from _records(element, (*place, keys))


def _arrays(
    structure: Any, keys: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if isinstance(structure, list) and structure and _is_object(structure[0]):
        yield keys, structure[0]
    elif _is_object(structure):
        for key, value in structure.items():
            yield from _arrays(value, (*keys, key))


def _is_object(structure: Any) -> bool:
    return isinstance(structure, dict) and 0 < len(structure) <= MOST_COLUMNS


def _json_path(place: Place) -> str:
    if not place:
        return "$"
    return "$" + "".join(f"{_path_of(keys)}[*]" for keys in place)


def _path_of(keys: tuple[str, ...]) -> str:
    return "".join(f".{key}" if _is_plain(key) else f'."{key}"' for key in keys)


def _is_plain(key: str) -> bool:
    return key.isascii() and key.replace("_", "a").isalnum() and not key[0].isdigit()


def _statement(feed: str, place: Place, record: dict[str, Any]) -> str:
    columns = list(_columns(record, ()))
    steps = []
    source, given = RELATION, "json"
    for number, keys in enumerate(place):
        is_last = number == len(place) - 1
        path = quoted(f"${_path_of(keys)}")
        array = f"{given} -> {path}"
        if number == 0:
            # A body without the array is drift, and belongs into quarantine.
            array = (
                f"CASE json_type(json, {path}) WHEN 'ARRAY' THEN {array}\n"
                f"            ELSE error({quoted(f'there is no array at ${_path_of(keys)}')}) END"
            )
        kind = orjson.dumps([_leaves(record) if is_last else "JSON"]).decode()
        name = "records" if is_last else f"level_{number + 1}"
        steps.append(
            f"{name} AS (\n    SELECT {LINEAGE}, unnest(from_json(\n        {array},\n        "
            f"{quoted(kind)}\n    )) AS record\n    FROM {source}\n)"
        )
        source, given = name, "record"
    if not place:
        kind = orjson.dumps(_leaves(record)).decode()
        steps.append(
            f"records AS (\n    SELECT {LINEAGE}, from_json(json, {quoted(kind)}) AS record\n"
            f"    FROM {RELATION}\n)"
        )
    taken: set[str] = {LINEAGE}
    lines = [f"    {LINEAGE}"]
    for keys, kind in columns:
        name = _free_name("_".join(keys), taken)
        value = ".".join(["record", *(_identifier(key) for key in keys)])
        lines.append(f"    {value} AS {name},  -- {kind}")
    body = _with_commas(lines)
    return f"-- feed: {feed}\nWITH {', '.join(steps)}\nSELECT\n{body}\nFROM records"


def _with_commas(lines: list[str]) -> str:
    """Every line but the last with its comma before its comment."""
    made = []
    for number, line in enumerate(lines):
        value, dashes, comment = line.partition(",  -- ")
        comma = "," if number < len(lines) - 1 else ""
        made.append(f"{value}{comma}{'  -- ' if dashes else ''}{comment}")
    return "\n".join(made)


def _leaves(record: dict[str, Any]) -> dict[str, Any]:
    """The structure to read with: every value as JSON, which the model's columns judge."""
    return {
        key: _leaves(value) if _is_object(value) else "JSON"
        for key, value in record.items()
        if not _is_of_objects(value)
    }


def _is_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and _is_object(value[0])


def _columns(
    record: dict[str, Any], keys: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each value of an element and its type; arrays of objects are SELECTs of their own."""
    for key, value in record.items():
        if _is_object(value):
            yield from _columns(value, (*keys, key))
        elif isinstance(value, list):
            if not _is_of_objects(value):
                yield (*keys, key), "list"
        elif isinstance(value, dict):
            yield (*keys, key), "JSON"
        else:
            yield (*keys, key), "always null" if value == "NULL" else str(value)


def _identifier(key: str) -> str:
    return '"' + key.replace('"', '""') + '"'


def _free_name(wanted: str, taken: set[str]) -> str:
    """A column name in the models' style that no other column has."""
    spelt = (
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", wanted).strip("_").lower() or "value"
    )
    name = f"n{spelt}" if spelt[0].isdigit() else spelt
    number = 2
    while name in taken:
        name, number = f"{spelt}_{number}", number + 1
    taken.add(name)
    return _identifier(name) if name in _reserved() else name


@cache
def _reserved() -> frozenset[str]:
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
        ).fetchall()
    return frozenset(name for (name,) in found)
