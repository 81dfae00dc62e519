"""SQL statements with holes: made by Django's compiler once, filled for every operation.

The conditions and orders are those of the ordinary path (`where`, `order_by`). What a filter
compares with is looked for in the parameters that Django made: where each value has a place
of its own, the statement is kept and later values take these places, each prepared by Django
for its own lookup. Where a place is not certain, the statement serves once.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet
from django.db.models.sql import Query

from ..catalog import Catalog, Entity
from ..filters import Test, where
from .arguments import Asked

Rows = QuerySet[Any, Any]
Sql = tuple[str, list[Any]]

_KEPT_SHAPES = 16


class Hole(Enum):
    """A parameter that is known when the operation runs, and no part of its arguments' shape."""

    KEY = "key"
    """Of the one row that a link starts from."""
    KEYS = "keys"
    """Of all of them."""
    OFFSET = "offset"
    LIMIT = "limit"
    LAST = "last"
    """Offset and limit together: the last position on a page."""
    READABLE = "readable"
    """How many rows there is any use in reading."""


@dataclass(frozen=True, slots=True)
class CursorHole:
    """One value of a cursor: a parameter like those of `Hole`."""

    position: int


Hollow = Hole | CursorHole
_HOLLOW = (Hole, CursorHole)
Holes = Mapping[Hole, Any] | Mapping[Hollow, Any]
"""What fills them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Rows as Django describes them, with what Django cannot say around their SQL."""

    rows: Rows
    head: str = ""
    tail: str = ""
    holes: tuple[Hollow, ...] = ()
    """Those of the tail."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of one parameter of one test."""

    test: int
    part: int


@dataclass(frozen=True, slots=True)
class _Kept:
    sql: str
    params: tuple[Any, ...]
    tests: tuple[str, ...]
    """The SQL of each test alone: a value that makes other SQL does not fit in."""


class Statement:
    """One statement of a plan, for every shape of its arguments on either database."""

    def __init__(
        self, entity: Entity, catalog: Catalog, draft: Callable[[Rows, Asked], Draft]
    ) -> None:
        self._entity = entity
        self._catalog = catalog
        self._draft = draft
        self._kept: dict[Hashable, _Kept] = {}

    def fill(self, asked: Asked, holes: Holes, connection: BaseDatabaseWrapper) -> Sql | None:
        """The SQL and its parameters; null where no row can be meant."""
        shape = (connection.vendor, asked.shape)
        kept = self._kept.get(shape)
        if kept is not None and (filled := _filled(kept, asked, holes, connection)):
            return filled
        try:
            sql, params = self._compiled(asked, connection)
        except EmptyResultSet:
            return None
        if (kept := _keepable(sql, params, asked, connection)) is not None:
            if len(self._kept) >= _KEPT_SHAPES:
                self._kept.clear()
            self._kept[shape] = kept
        return sql, [_put(one, holes) for one in params]

    def _compiled(self, asked: Asked, connection: BaseDatabaseWrapper) -> Sql:
        rows = self._entity.model._base_manager.using(connection.alias)
        condition = where(self._entity, self._catalog, asked.filters)
        draft = self._draft(rows.filter(condition), asked)
        sql, params = draft.rows.query.get_compiler(connection=connection).as_sql()
        return f"{draft.head}{sql}{draft.tail}", [*params, *draft.holes]


def _filled(kept: _Kept, asked: Asked, holes: Holes, connection: BaseDatabaseWrapper) -> Sql | None:
    """The kept statement with these values; null where they need another one."""
    values = []
    for test, sql in zip(asked.tests, kept.tests, strict=False):
        found = _tested(test, connection)
        if found is None or found[0] != sql:
            return None
        values.append(found[1])
    params = []
    for one in kept.params:
        if isinstance(one, _Place):
            params.append(values[one.test][one.part])
        else:
            params.append(_put(one, holes))
    return kept.sql, params


def _put(param: Any, holes: Any) -> Any:
    return holes[param] if isinstance(param, _HOLLOW) else param


def _keepable(
    sql: str, params: list[Any], asked: Asked, connection: BaseDatabaseWrapper
) -> _Kept | None:
    if asked.is_constant:
        return _Kept(sql, tuple(params), ())
    placed, tests = list(params), []
    for number, test in enumerate(asked.tests):
        found = _compiled_test(test, connection)
        if found is None:
            return None
        tests.append(found[0])
        values = found[1]
        starts = _occurrences(values, params) if values else [0]
        if len(starts) != 1:
            return None
        places = [_Place(number, part) for part in range(len(values))]
        placed[starts[0] : starts[0] + len(values)] = places
    return _Kept(sql, tuple(placed), tuple(tests))


def _occurrences(part: Sequence[Any], whole: Sequence[Any]) -> list[int]:
    size = len(part)
    return [
        start
        for start in range(len(whole) - size + 1)
        if list(whole[start : start + size]) == list(part)
    ]


@dataclass(frozen=True, slots=True)
class _Plain:
    """A test whose value is its one parameter as it stands, whatever the value."""

    sql: str
    least: int
    greatest: int
    """Of a number; Django makes another test of one that the column does not hold."""


_COMPARED = frozenset({"exact", "gt", "gte", "lt", "lte"})
_plain: dict[Hashable, _Plain | None] = {}
"""By database, column, lookup and type of value; null where it is no such test."""


def _tested(test: Test, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]] | None:
    """`_compiled_test`, which Django is asked for once where only the value differs."""
    value, kind = test.value, type(test.value)
    if kind not in (int, str) or test.lookup not in _COMPARED or (kind is str and "\0" in value):
        return _compiled_test(test, connection)
    key = (connection.vendor, test.entity.model, test.column.attname, test.lookup, kind)
    if key not in _plain:
        _plain[key] = _plain_of(test, connection)
    known = _plain[key]
    if known is None or (kind is int and not known.least <= value <= known.greatest):
        return _compiled_test(test, connection)
    return known.sql, [value]


def _plain_of(test: Test, connection: BaseDatabaseWrapper) -> _Plain | None:
    model, _ = test.alone()
    field: Any = model._meta.get_field(test.column.attname) if model is test.entity.model else None
    example: int | str = "a"
    ends: tuple[Any, Any] = (0, 0)
    is_plain = type(field) in (models.CharField, models.TextField)
    if type(test.value) is int:
        example, is_plain = 1, type(field) in _INTEGERS
        if is_plain:
            ends = connection.ops.integer_field_range(field.get_internal_type())
    if not is_plain or None in ends:
        return None
    found = _compiled_test(replace(test, value=example), connection)
    return _Plain(found[0], *ends) if found is not None and found[1] == [example] else None


_INTEGERS = (
    models.IntegerField,
    models.BigIntegerField,
    models.AutoField,
    models.BigAutoField,
)


def _compiled_test(test: Test, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]] | None:
    """A test alone, as Django makes it: its SQL, and its value as parameters."""
    model, condition = test.alone()
    query = Query(model)
    try:
        sql, params = query.build_where(condition).as_sql(
            query.get_compiler(connection=connection), connection
        )
    except (EmptyResultSet, FullResultSet):
        return None
    return sql, list(params)
