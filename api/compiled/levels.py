"""Levels: the rows of one place in an answer, shown together, column by column.

A level's rows become objects at once: each selected field turns the columns it needs into
the values it shows, one for every row. A field that links to other rows asks for all their
keys in one statement and shows the level below. Rows that many link to are encoded once.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

import orjson

from ..catalog import Column, Model, Relation
from ..errors import NotCompiled
from .arguments import Arguments, Asked
from .paging import cut_pages
from .reading import Asking, Reader
from .statements import Hole, Statement
from .values import OPTIONS, Values, Writer, column_writer

Columns = Sequence[Values]
Weights = Sequence[int] | None
"""How often each row stands in the answer; null for once each."""

NO_ARGUMENTS = Asked(shape=None, is_constant=True)


class Shown(Protocol):
    """A selected field of a level."""

    def show(self, reader: Reader, columns: Columns, weights: Weights) -> Values:
        """The field's values, one for each row."""


@dataclass(slots=True)
class Level:
    """The fields that are selected of an entity's rows, by response key."""

    reads: list[str] = field(default_factory=list)
    """The columns that are read, in order."""
    fields: dict[str, Shown] = field(default_factory=dict)
    leads_on: bool = False
    """Whether any field leads to more rows, so that it matters how often a row stands here."""

    def place(self, attname: str) -> int:
        """Where among the columns this one is read, from now on."""
        if attname not in self.reads:
            self.reads.append(attname)
        return self.reads.index(attname)

    def show(self, reader: Reader, rows: Sequence[Any], weights: Weights) -> list[dict[str, Any]]:
        """An object for each row."""
        if not rows or not self.fields:
            # A selection may be empty: every field of it switched off.
            return [{} for _ in rows]
        columns = list(zip(*rows, strict=True))
        shown = [one.show(reader, columns, weights) for one in self.fields.values()]
        names = tuple(self.fields)
        return [dict(zip(names, values)) for values in zip(*shown)]  # noqa: B905


@dataclass(slots=True)
class ColumnShown:
    """A column's values."""

    model: Model
    column: Column
    kind: Any
    place: int
    _writers: dict[str, Writer] = field(default_factory=dict)

    def show(self, reader: Reader, columns: Columns, weights: Weights) -> Values:
        vendor = reader.connection.vendor
        writer = self._writers.get(vendor)
        if writer is None:
            writer = column_writer(self.model, self.column, self.kind, reader.connection)
            self._writers[vendor] = writer
        return writer(columns[self.place])


@dataclass(slots=True)
class NameShown:
    """`__typename`."""

    name: str

    def show(self, reader: Reader, columns: Columns, weights: Weights) -> Values:
        return [self.name] * len(columns[0])


@dataclass(slots=True)
class LinkedRowShown:
    """The one row that each row links to."""

    relation: Relation
    place: int
    level: Level
    back: int
    statement: Statement

    def show(self, reader: Reader, columns: Columns, weights: Weights) -> Values:
        keys = columns[self.place]
        uses = _uses(keys, weights) if weights or self.level.leads_on else None
        reader.spend(sum(uses.values()) if uses is not None else len(keys) - keys.count(None))
        wanted = _distinct(keys)
        if not wanted:
            return keys
        rows = reader.rows(self.statement, NO_ARGUMENTS, {Hole.KEYS: reader.keys(wanted)})
        found_keys = [row[self.back] for row in rows]
        onward = [uses[key] for key in found_keys] if uses is not None else None
        objects = self.level.show(reader, rows, onward)
        found = dict(zip(found_keys, map(encoded, objects), strict=True))
        if len(found) < len(wanted) and not self.relation.is_nullable:
            raise NotCompiled(f"a row that {self.relation.name} leads to is missing")
        return [found.get(key) for key in keys]


@dataclass(slots=True)
class LinkedRowsShown:
    """A page of the rows that each row leads to."""

    relation: Relation
    place: int
    level: Level
    back: int
    arguments: Arguments
    of_one: Statement
    of_many: Statement
    """Cut into pages by the database."""
    of_many_whole: Statement
    """Cut into pages as it is read."""

    def show(self, reader: Reader, columns: Columns, weights: Weights) -> Values:
        keys = columns[self.place]
        wanted = _distinct(keys)
        rows = self._rows(reader, wanted) if wanted else []
        found_keys = [row[self.back] for row in rows]
        onward = None
        if weights is None:
            reader.spend(len(rows))
        else:
            uses = _uses(keys, weights)
            onward = [uses[key] for key in found_keys]
            reader.spend(sum(onward))
        lists: defaultdict[Any, list[Any]] = defaultdict(list)
        for key, shown in zip(found_keys, self.level.show(reader, rows, onward), strict=True):
            lists[key].append(shown)
        return [lists.get(key, ()) for key in keys]

    def name(self, key: Any) -> Hashable:
        """By which a reader knows the rows of one key."""
        return id(self), type(key), key

    def asking(self, reader: Reader, key: Any) -> Asking:
        """What is asked for the rows of one key."""
        asked = self.arguments.read(reader.variables)
        page = {Hole.OFFSET: asked.offset, Hole.LIMIT: asked.limit, Hole.KEY: reader.key(key)}
        return Asking(self.of_one, asked, page)

    def _rows(self, reader: Reader, keys: list[Any]) -> list[Any]:
        if len(keys) == 1:
            known = reader.ahead(self.name(keys[0]))
            if known is not None:
                return known
            one = self.asking(reader, keys[0])
            return reader.rows(one.statement, one.asked, one.holes)
        asked = self.arguments.read(reader.variables)
        page = {Hole.OFFSET: asked.offset, Hole.LIMIT: asked.limit}
        # A row stands in the answer at least once: one too many is enough to refuse.
        readable = reader.rows_left + 1
        page |= {Hole.KEYS: reader.keys(keys), Hole.READABLE: readable}
        if reader.connection.vendor != "sqlite":
            page[Hole.LAST] = asked.offset + asked.limit
            return reader.rows(self.of_many, asked, page)

        def cut(fetch: Callable[[int], list[Any]]) -> list[Any]:
            return cut_pages(
                fetch,
                key=self.back,
                list_count=len(keys),
                offset=asked.offset,
                limit=asked.limit,
                readable=readable,
            )

        return reader.rows(self.of_many_whole, asked, page, cut)


@dataclass(slots=True)
class LinkedCountShown:
    """How many rows each row leads to."""

    relation: Relation
    place: int
    arguments: Arguments
    statement: Statement
    writer: Writer

    def show(self, reader: Reader, columns: Columns, weights: Weights) -> Values:
        keys = columns[self.place]
        asked = self.arguments.read(reader.variables)
        wanted = {Hole.KEYS: reader.keys(_distinct(keys))}
        found: dict[Any, int] = dict(reader.rows(self.statement, asked, wanted))
        return self.writer([found.get(key, 0) for key in keys])


@dataclass(slots=True)
class PayloadShown:
    """The payload that each row comes from."""

    model: Model
    place: int
    shape: "ObjectShape"

    def show(self, reader: Reader, columns: Columns, weights: Weights) -> Values:
        ids = [_uuid(value) for value in columns[self.place]]
        payloads = reader.payloads(self.model, ids)
        found = {
            fetch_id: None if payload is None else encoded(self.shape.show(payload))
            for fetch_id, payload in payloads.items()
        }
        return [found[fetch_id] for fetch_id in ids]


@dataclass(slots=True)
class BuiltShown:
    """What each row of a rollup was computed of: the same for all of them."""

    model: Model
    shape: "ObjectShape"

    def show(self, reader: Reader, columns: Columns, weights: Weights) -> Values:
        return [encoded(self.shape.show(reader.build(self.model)))] * len(columns[0])


@dataclass(slots=True)
class ListShape:
    """A list of values in such an object."""

    writer: Writer


@dataclass(slots=True)
class ObjectShape:
    """What is selected of an object that Python made, such as a payload."""

    fields: dict[str, "tuple[str, Writer | ListShape | ObjectShape | str]"]
    """By response key: the attribute, and how it is shown; a string is shown itself."""

    def show(self, found: Any) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for key, (attribute, how) in self.fields.items():
            if isinstance(how, str):
                shown[key] = how
                continue
            value = getattr(found, attribute)
            if isinstance(how, Writer):
                (shown[key],) = how([value])
            elif isinstance(how, ListShape):
                shown[key] = how.writer(value)
            else:
                shown[key] = [how.show(one) for one in value]
        return shown


def encoded(shown: object) -> orjson.Fragment:
    """An object that may stand in many places of an answer, as JSON already."""
    return orjson.Fragment(orjson.dumps(shown, option=OPTIONS))


def _uses(keys: Values, weights: Weights) -> Mapping[Any, int]:
    """How often in the answer each key is followed; null is no key."""
    if weights is None:
        uses: Counter[Any] = Counter(keys)
    else:
        uses = Counter()
        for key, weight in zip(keys, weights, strict=True):
            uses[key] += weight
    del uses[None]
    return uses


def _distinct(keys: Values) -> list[Any]:
    return [key for key in dict.fromkeys(keys) if key is not None]


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)
