"""Columns as JSON: the values that the database gave, written as the ordinary path writes them.

Most values are JSON already, or what orjson writes just so: a column of them passes
through untouched. Any other value takes the long way that the ordinary path takes for all:
Django's converters for the column, then the scalar's own.
"""

import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db.backends.base.base import BaseDatabaseWrapper
from graphql import GraphQLEnumType, GraphQLOutputType, GraphQLScalarType, is_non_null_type
from strawberry.scalars import JSON

from ..catalog import Column, Model
from ..errors import NotCompiled
from ..scalars import SAFE_INTEGERS, BigInt

Values = Sequence[Any]

OPTIONS = orjson.OPT_NAIVE_UTC
"""SQLite keeps no offsets: a moment without one is in UTC, in the database as in the answer."""

_INT_32 = range(-(2**31), 2**31)
# A number that a double may not hold, which the ordinary path reads as infinite and writes as null.
_HUGE = re.compile(r"[0-9][eE]\+?[0-9]{3}")

Check = Callable[[Values], bool]


def _all_within(numbers: range) -> Check:
    return lambda values: all(map(numbers.__contains__, filter(None, values)))


def _all_finite(values: Values) -> bool:
    return all(map(math.isfinite, filter(None, values)))


_AS_THEY_ARE: dict[Any, tuple[frozenset[type], Check | None]] = {
    str: (frozenset({str}), None),
    int: (frozenset({int}), _all_within(_INT_32)),
    BigInt: (frozenset({int}), _all_within(SAFE_INTEGERS)),
    float: (frozenset({float}), _all_finite),
    bool: (frozenset({bool}), None),
    dt.date: (frozenset({dt.date}), None),
    dt.datetime: (frozenset({dt.datetime}), None),
    dt.time: (frozenset({dt.time}), None),
    UUID: (frozenset({UUID}), None),
}
_NEVER: tuple[frozenset[type], None] = (frozenset(), None)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the values of one column, or of one field."""

    as_they_are: frozenset[type]
    check: Check | None
    write: Callable[[Any], Any]
    is_nullable: bool

    def __call__(self, values: Values) -> Values:
        """The values as orjson is to have them. Raises what the scalar raises."""
        if set(map(type, values)) <= self.as_they_are and (not self.check or self.check(values)):
            return values
        written = list(map(self.write, values))
        if None in written and not self.is_nullable:
            raise NotCompiled("a null where there is none")
        return written


def column_writer(
    model: Model, column: Column, kind: GraphQLOutputType, connection: BaseDatabaseWrapper
) -> Writer:
    """The writer of a model's column, for values as this database gives them."""
    field: Any = model._meta.get_field(column.attname)
    expression = field.get_col(model._meta.db_table)
    converters = [
        *connection.ops.get_db_converters(expression),
        *expression.get_db_converters(connection),
    ]
    leaf, is_nullable = _leaf(kind)

    def write(value: Any) -> Any:
        for convert in converters:
            value = convert(value, expression, connection)
        return None if value is None else leaf.coerce_output_value(value)

    # A field of someone's own may read another value from the same bytes.
    is_plain = all(
        getattr(each.from_db_value, "__module__", "").startswith("django.")
        for each in (field, getattr(field, "target_field", field))
        if hasattr(each, "from_db_value")
    )
    if not is_plain:
        return Writer(frozenset(), None, write, is_nullable)
    if column.scalar is JSON and getattr(field, "decoder", None) is None:
        return Writer(frozenset(), None, _verbatim(write), is_nullable)
    return _writer(column.scalar, write, is_nullable)


def field_writer(kind: GraphQLOutputType, scalar: Any) -> Writer:
    """The writer of a field whose values Python made."""
    leaf, is_nullable = _leaf(kind)
    return _writer(
        scalar,
        lambda value: None if value is None else leaf.coerce_output_value(value),
        is_nullable,
    )


def _writer(scalar: Any, write: Callable[[Any], Any], is_nullable: bool) -> Writer:
    as_they_are, check = _AS_THEY_ARE.get(scalar, _NEVER)
    if as_they_are and is_nullable:
        as_they_are |= {type(None)}
    return Writer(as_they_are, check, write, is_nullable)


def _verbatim(write: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """JSON that the database gives as text is part of the answer as it stands."""

    def pass_on(value: Any) -> Any:
        if isinstance(value, str) and value.strip() != "null" and not _HUGE.search(value):
            return orjson.Fragment(value)
        return write(value)

    return pass_on


def _leaf(kind: GraphQLOutputType) -> tuple[GraphQLScalarType | GraphQLEnumType, bool]:
    is_nullable = not is_non_null_type(kind)
    leaf: Any = kind if is_nullable else kind.of_type  # type: ignore[union-attr]
    if not isinstance(leaf, GraphQLScalarType | GraphQLEnumType):
        raise NotCompiled(f"values of the type {leaf}")
    return leaf, is_nullable
