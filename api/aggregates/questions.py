"""What an aggregate asks: groups, measures, an order and a page."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import models

from warehouse.columns import duckdb_type

from ..catalog import Column, Entity
from ..scalars import BigInt

COARSER: dict[str, tuple[str, ...]] = {
    "hour": ("day", "week", "month", "quarter", "year"),
    "day": ("week", "month", "quarter", "year"),
    "week": (),
    "month": ("quarter", "year"),
    "quarter": ("year",),
    "year": (),
}
"""The units that days and the like add up to, by unit."""
_DATE_UNITS = ("week", "month", "quarter", "year")
_NUMBERS = (int, BigInt, float, Decimal)
_TIMES = (dt.date, dt.datetime, dt.time)
FUNCTIONS = ("sum", "avg", "min", "max", "stddev")


@dataclass(frozen=True, slots=True)
class Grouping:
    """A column to group by, or the period that its moments lie in."""

    column: Column
    unit: str | None = None

    @property
    def name(self) -> str:
        """Its name among the values of `groupBy` and the fields of a key."""
        return f"{self.column.name}{self.unit.capitalize()}" if self.unit else self.column.name

    @property
    def scalar(self) -> Any:
        """What its values are shown as: a period is called by its first day, or hour."""
        if self.unit is None:
            return self.column.scalar
        return dt.datetime if self.unit == "hour" else dt.date


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that is computed for each group."""

    function: str
    attname: str | None = None
    points: tuple[float, ...] = ()
    """Of quantiles."""


COUNT = Measure("count")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the order of groups."""

    by: Grouping | Measure
    is_descending: bool
    has_nulls_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which groups of an entity's rows are asked for, and what of each."""

    entity: Entity
    filters: Any
    groupings: tuple[Grouping, ...]
    order: tuple[Part, ...]
    """The key at its end."""
    size: int
    after: str | None
    measures: tuple[Measure, ...] = ()
    counts_groups: bool = False

    @property
    def columns(self) -> tuple[Grouping | Measure, ...]:
        """What is computed of each group, in the order of an answer's columns."""
        ordered = [part.by for part in self.order if isinstance(part.by, Measure)]
        return tuple(dict.fromkeys([*self.groupings, *self.measures, *ordered]))


def groupings(entity: Entity) -> list[Grouping]:
    """Everything that an entity's rows can be grouped by."""
    found = []
    for column in entity.columns:
        if not column.is_sortable:
            continue
        found.append(Grouping(column))
        if column.scalar is dt.datetime:
            found += [Grouping(column, unit) for unit in COARSER]
        if column.scalar is dt.date:
            found += [Grouping(column, unit) for unit in _DATE_UNITS]
    return found


def numbers(entity: Entity) -> list[Column]:
    """The columns that can be added up: numbers that are no links."""
    links = {relation.own for relation in entity.relations if not relation.is_list}
    return [
        column
        for column in entity.columns
        if column.scalar in _NUMBERS and column.attname not in links
    ]


def ordered(entity: Entity) -> list[Column]:
    """The columns that have a least and a greatest: numbers, and dates and times."""
    counted = numbers(entity)
    return [column for column in entity.columns if column in counted or column.scalar in _TIMES]


def kind_of(entity: Entity, what: Grouping | Measure) -> str:
    """The DuckDB type of a grouping's or a measure's values."""
    if isinstance(what, Grouping):
        if what.unit is not None:
            return "TIMESTAMP" if what.unit == "hour" else "DATE"
        return column_kind(entity, what.column.attname)
    if what.function == "count":
        return "BIGINT"
    assert what.attname is not None
    kind = column_kind(entity, what.attname)
    if what.function in ("min", "max"):
        return kind
    if what.function == "sum" and kind.startswith("DECIMAL"):
        return f"DECIMAL(38,{kind.rstrip(')').split(',')[1]})"
    if what.function == "sum" and kind != "DOUBLE":
        return "HUGEINT"
    return "DOUBLE"


def scalar_of(entity: Entity, what: Grouping | Measure) -> Any:
    """The scalar that shows a grouping's or a measure's values."""
    if isinstance(what, Grouping):
        return what.scalar
    if what.attname is None:
        return BigInt
    column = entity.column(what.attname)
    if what.function in ("min", "max"):
        return column.scalar
    if what.function == "quantiles":
        return float if column in numbers(entity) else column.scalar
    if what.function == "sum":
        return BigInt if kind_of(entity, what) == "HUGEINT" else column.scalar
    return float


def is_moment(entity: Entity, what: Grouping | Measure) -> bool:
    """Whether its values are moments, one or, of quantiles, several."""
    return scalar_of(entity, what) is dt.datetime


def column_kind(entity: Entity, attname: str) -> str:
    """The DuckDB type of a column."""
    field: Any = entity.model._meta.get_field(attname)
    if isinstance(field, models.GeneratedField):
        field = field.output_field
    return duckdb_type(field)
