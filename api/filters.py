"""Filters: an input type for every entity, and the condition that a filter means.

A filter's fields hold together; `AND`, `OR` and `NOT` take lists of filters. A filter
on a list relation means "at least one of them", so a row never appears twice. A
field or lookup given as null counts as not given.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Any
from uuid import UUID

import strawberry
from django.db import connection
from django.db.models import CharField, Exists, F, OuterRef, Q, Value
from django.db.models.functions import Left, Right, StrIndex
from django.db.models.lookups import Exact, GreaterThan
from strawberry import UNSET
from strawberry.scalars import JSON, Base64

from .catalog import Catalog, Column, Entity, Model
from .errors import RequestRefused
from .scalars import BigInt

MAX_LIST_LENGTH = 1000

_EQUAL = {
    "exact": ("T", "Equals."),
    "in_list": ("list[T]", "Is one of these."),
    "is_null": ("bool", "Has no value, or has one."),
}
_COMPARE = {
    **_EQUAL,
    "gt": ("T", "Is greater than."),
    "gte": ("T", "Is greater than, or equals."),
    "lt": ("T", "Is less than."),
    "lte": ("T", "Is less than, or equals."),
}
_TEXT = {
    **_EQUAL,
    "i_exact": ("T", "Equals, whatever the case."),
    "contains": ("T", "Contains."),
    "i_contains": ("T", "Contains, whatever the case."),
    "starts_with": ("T", "Begins with."),
    "i_starts_with": ("T", "Begins with, whatever the case."),
    "ends_with": ("T", "Ends with."),
    "i_ends_with": ("T", "Ends with, whatever the case."),
}


def _lookup(name: str, scalar: Any, lookups: dict[str, tuple[str, str]]) -> type:
    kinds = {"T": scalar, "list[T]": list[scalar], "bool": bool}
    fields = {
        key: strawberry.field(default=UNSET, description=text) for key, (_, text) in lookups.items()
    }
    annotations = {key: kinds[kind] | None for key, (kind, _) in lookups.items()}
    made = type(name, (), {**fields, "__annotations__": annotations, "__module__": __name__})
    return strawberry.input(made, name=name, description="Tests that hold together.")


_LOOKUPS: dict[Any, type] = {
    str: _lookup("StringLookup", str, _TEXT),
    int: _lookup("IntLookup", int, _COMPARE),
    BigInt: _lookup("BigIntLookup", BigInt, _COMPARE),
    float: _lookup("FloatLookup", float, _COMPARE),
    Decimal: _lookup("DecimalLookup", Decimal, _COMPARE),
    dt.date: _lookup("DateLookup", dt.date, _COMPARE),
    dt.datetime: _lookup("DateTimeLookup", dt.datetime, _COMPARE),
    dt.time: _lookup("TimeLookup", dt.time, _COMPARE),
    bool: _lookup("BooleanLookup", bool, {k: v for k, v in _EQUAL.items() if k != "in_list"}),
    UUID: _lookup("UUIDLookup", UUID, _EQUAL),
    Base64: _lookup("Base64Lookup", Base64, {"is_null": _EQUAL["is_null"]}),
    JSON: _lookup("JSONLookup", JSON, {"is_null": _EQUAL["is_null"]}),
}
LOOKUP_NAMES = frozenset(made.__name__ for made in _LOOKUPS.values())


LOOKUPS = tuple(_TEXT | _COMPARE)
"""The names of all lookups, as Python has them."""


def filter_class(entity: Entity, catalog: Catalog, module: str) -> type:
    """The input type that filters an entity's rows; related ones are named, not referred to."""
    annotations: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for column in entity.columns:
        annotations[column.attname] = _LOOKUPS[column.scalar] | None
        fields[column.attname] = strawberry.field(name=column.name, default=UNSET)
    for relation in entity.relations:
        annotations[relation.attribute] = f"{catalog[relation.target].names.filter} | None"
        fields[relation.attribute] = strawberry.field(
            name=relation.name,
            default=UNSET,
            description="At least one of them is so." if relation.is_list else None,
        )
    for name, text in (
        ("AND", "All of these hold."),
        ("OR", "At least one of these holds."),
        ("NOT", "None of these holds."),
    ):
        annotations[name] = f"list[{entity.names.filter}] | None"
        fields[name] = strawberry.field(name=name, default=UNSET, description=text)
    made = type(
        entity.names.filter, (), {**fields, "__annotations__": annotations, "__module__": module}
    )
    return strawberry.input(
        made, name=entity.names.filter, description=f"Which {entity.names.many} to give."
    )


def where(entity: Entity, catalog: Catalog, given: Any, path: str = "") -> Q:
    """The condition a filter means; `path` leads from the rows asked for to this entity's."""
    if not _is_given(given):
        return Q()
    condition = Q()
    for column in entity.columns:
        if _is_given(lookups := getattr(given, column.attname)):
            condition &= _tests(path, column, lookups)
    for relation in entity.relations:
        if not _is_given(nested := getattr(given, relation.attribute)):
            continue
        target = catalog[relation.target]
        if not relation.is_list:
            condition &= where(target, catalog, nested, f"{path}{relation.lookup}__")
            continue
        rows = relation.target._base_manager.filter(where(target, catalog, nested))
        condition &= Q(Exists(rows.filter(**{relation.back: OuterRef(f"{path}{relation.own}")})))
    if _is_given(given.AND):
        condition &= _all(where(entity, catalog, one, path) for one in given.AND)
    if _is_given(given.OR):
        condition &= _any(where(entity, catalog, one, path) for one in given.OR)
    if _is_given(given.NOT):
        condition &= ~_any(where(entity, catalog, one, path) for one in given.NOT)
    return condition


@dataclass(frozen=True, slots=True)
class Test:
    """One lookup of a filter, wherever in it."""

    entity: Entity
    """Whose column is tested."""
    column: Column
    lookup: str
    value: Any

    def alone(self) -> tuple[Model, Q]:
        """The same test of a model's own column: of the one that a foreign key refers to."""
        model, path = self.entity.model, _lookup_path(self.column, self.lookup)
        while "__" in path:
            name, _, path = path.partition("__")
            model = model._meta.get_field(name).related_model  # type: ignore[assignment]
        return model, _TESTS[self.lookup](path, self.value)


def tests_in(entity: Entity, catalog: Catalog, given: Any) -> Iterator[Test]:
    """Every lookup of a filter, those on related rows included."""
    if not _is_given(given):
        return
    for column in entity.columns:
        if _is_given(lookups := getattr(given, column.attname)):
            for name in _TESTS:
                if _is_given(value := getattr(lookups, name, None)):
                    yield Test(entity, column, name, value)
    for relation in entity.relations:
        yield from tests_in(catalog[relation.target], catalog, getattr(given, relation.attribute))
    for joined in (given.AND, given.OR, given.NOT):
        for one in joined if _is_given(joined) else ():
            yield from tests_in(entity, catalog, one)


def _is_given(value: Any) -> bool:
    return value is not None and value is not UNSET


_NOTHING = Q(pk__in=[])


def _all(conditions: Any) -> Q:
    return reduce(Q.__and__, conditions, Q())


def _any(conditions: Any) -> Q:
    found = list(conditions)
    if any(not condition for condition in found):
        return ~_NOTHING
    return reduce(Q.__or__, found, Q()) if found else _NOTHING


def _tests(path: str, column: Column, given: Any) -> Q:
    condition = Q()
    for name, test in _TESTS.items():
        value: Any = getattr(given, name, None)
        if _is_given(value):
            if name == "in_list" and len(value) > MAX_LIST_LENGTH:
                raise RequestRefused(
                    f"inList has {len(value)} values; it takes at most {MAX_LIST_LENGTH}. "
                    "Ask in several operations."
                )
            condition &= test(path + _lookup_path(column, name), value)
    return condition


def _lookup_path(column: Column, name: str) -> str:
    # Django's foreign keys know the lookups of numbers; those that do not mind the case only text.
    return column.lookup if name.startswith("i_") else column.attname


def _plain(lookup: str) -> Callable[[str, Any], Q]:
    return lambda path, value: Q(**{f"{path}__{lookup}": value})


def _compared(lookup: str) -> Callable[[str, Any], Q]:
    """A comparison, also with a number that no column holds: every value is above or below it."""

    def test(path: str, value: Any) -> Q:
        if is_storable(value):
            return Q(**{f"{path}__{lookup}": value})
        if isinstance(value, str):
            return _NOTHING
        is_met = lookup in (("lt", "lte") if value > 0 else ("gt", "gte"))
        return Q(**{f"{path}__isnull": False}) if is_met else _NOTHING

    return test


def is_storable(value: Any) -> bool:
    """Whether a column can hold it: none holds more than 64 bits, nor one of PostgreSQL's text
    with a NUL, and the drivers raise when they are asked for such values."""
    if isinstance(value, str):
        return "\0" not in value or not _is_nul_refused()
    return not isinstance(value, int) or -(1 << 63) <= value < 1 << 63


def _is_nul_refused() -> bool:
    return bool(connection.features.prohibits_null_characters_in_text_exception)


def _exactly(expression: Callable[[str, str], Any]) -> Callable[[str, str], Q]:
    """A test of text that minds the case on every database; SQLite's LIKE does not."""

    def test(path: str, value: str) -> Q:
        if not is_storable(value):
            return _NOTHING
        # Without the first part, the negation would lose the rows that have no value.
        has_value = Q(**{f"{path}__isnull": False})
        return has_value & Q(expression(path, value)) if value else has_value

    return test


def _whatever_the_case(lookup: str) -> Callable[[str, str], Q]:
    # SQLite's LIKE reads a pattern up to its first NUL, and would find too much.
    return lambda path, value: Q(**{f"{path}__{lookup}": value}) if "\0" not in value else _NOTHING


def _text(value: str) -> Value:
    return Value(value, output_field=CharField())


_TESTS: dict[str, Callable[[str, Any], Q]] = {
    "exact": _compared("exact"),
    "in_list": lambda path, value: Q(**{f"{path}__in": list(filter(is_storable, value))}),
    "is_null": _plain("isnull"),
    "gt": _compared("gt"),
    "gte": _compared("gte"),
    "lt": _compared("lt"),
    "lte": _compared("lte"),
    "i_exact": _whatever_the_case("iexact"),
    "contains": _exactly(lambda path, value: GreaterThan(StrIndex(F(path), _text(value)), 0)),
    "i_contains": _whatever_the_case("icontains"),
    "starts_with": _exactly(lambda path, value: Exact(Left(F(path), len(value)), _text(value))),
    "i_starts_with": _whatever_the_case("istartswith"),
    "ends_with": _exactly(lambda path, value: Exact(Right(F(path), len(value)), _text(value))),
    "i_ends_with": _whatever_the_case("iendswith"),
}
