"""The arguments of a selected field, read as the ordinary path reads them.

Their values go into SQL as parameters. What is left when the values are taken out is the
shape: arguments of one shape share one statement.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import FieldNode, GraphQLField, get_argument_values
from graphql.execution.values import VariableValues
from strawberry import UNSET
from strawberry.utils.str_converters import to_camel_case

from ..catalog import Catalog, Entity
from ..filters import LOOKUPS, MAX_LIST_LENGTH, Test, tests_in
from ..pages import Pagination, bounds
from .selection import has_variables


class Given:
    """An input object by its Python names, as `where` and `order_by` want it."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        return self._values.get(name, UNSET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the arguments of one field ask for."""

    shape: Hashable
    is_constant: bool
    filters: Given | None = None
    order: list[Given] | None = None
    offset: int = 0
    limit: int = 0
    is_paged: bool = False
    """Whether the page was asked for; a list has one anyway."""
    tests: tuple[Test, ...] = ()
    """The lookups, whose values are parameters."""
    beyond: "Beyond | None" = None
    """Where a page of a connection lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """Which way a connection is walked, and from what kind of place."""

    is_backward: bool
    nulls: tuple[bool, ...] | None
    """Which values of the cursor are null; without a cursor nothing."""


@dataclass(slots=True)
class Arguments:
    """Reads the arguments of a field that gives or counts an entity's rows."""

    definition: GraphQLField
    node: FieldNode
    entity: Entity
    catalog: Catalog
    _is_constant: bool = field(init=False)
    _constant: Asked | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._is_constant = not any(has_variables(node) for node in self.node.arguments or ())

    def read(self, variables: VariableValues) -> Asked:
        """What is asked for. Raises `GraphQLError` or `RequestRefused` for what cannot be."""
        if self._constant is not None:
            return self._constant
        given = get_argument_values(self.definition, self.node, variables)
        asked = self._asked(given)
        if self._is_constant:
            self._constant = asked
        return asked

    def _asked(self, given: dict[str, Any]) -> Asked:
        raw_filters, raw_order = given.get("filters"), given.get("order")
        page = given.get("pagination")
        offset, limit = bounds(Pagination(**page) if page else None)
        filters = filter_of(self.entity, self.catalog, raw_filters)
        return Asked(
            shape=(_shape(self.entity, self.catalog, raw_filters), _order_shape(raw_order)),
            is_constant=self._is_constant,
            filters=filters,
            order=[_order_of(self.entity, self.catalog, one) for one in raw_order or ()],
            offset=offset,
            limit=limit,
            is_paged=bool(page),
            tests=tuple(tests_in(self.entity, self.catalog, filters)),
        )


@dataclass(slots=True)
class Key:
    """Reads the arguments of a field that gives a row by its key."""

    definition: GraphQLField
    node: FieldNode
    entity: Entity

    def read(self, variables: VariableValues) -> Asked:
        """The key that is asked for. Raises `GraphQLError` for one that cannot be."""
        given = get_argument_values(self.definition, self.node, variables)
        columns = [self.entity.column(attname) for attname in self.entity.key]
        tests = [Test(self.entity, column, "exact", given[column.name]) for column in columns]
        return Asked(
            shape=tuple(_lookup_shape("exact", test.value) for test in tests),
            is_constant=False,
            filters=Given({test.column.attname: Given({"exact": test.value}) for test in tests}),
            limit=1,
            tests=tuple(tests),
        )


_PYTHON_NAMES = {to_camel_case(name): name for name in LOOKUPS}
_JOINS = ("AND", "OR", "NOT")


def filter_of(entity: Entity, catalog: Catalog, raw: Mapping[str, Any] | None) -> Given | None:
    """A filter as GraphQL read it, by the names that `where` knows."""
    if raw is None:
        return None
    values: dict[str, Any] = {}
    for column in entity.columns:
        if (lookups := raw.get(column.name)) is not None:
            values[column.attname] = Given(
                {_PYTHON_NAMES[name]: value for name, value in lookups.items()}
            )
    for relation in entity.relations:
        if (nested := raw.get(relation.name)) is not None:
            values[relation.attribute] = filter_of(catalog[relation.target], catalog, nested)
    for name in _JOINS:
        if (parts := raw.get(name)) is not None:
            values[name] = [filter_of(entity, catalog, part) for part in parts]
    return Given(values)


def _order_of(entity: Entity, catalog: Catalog, raw: Mapping[str, Any]) -> Given:
    values: dict[str, Any] = {
        column.attname: raw[column.name] for column in entity.columns if column.name in raw
    }
    for relation in entity.relations:
        if (nested := raw.get(relation.name)) is not None:
            values[relation.attribute] = _order_of(catalog[relation.target], catalog, nested)
    return Given(values)


def _shape(entity: Entity, catalog: Catalog, raw: Mapping[str, Any] | None) -> Hashable:
    """A filter without its values: what Django's compiler makes other SQL for."""
    if raw is None:
        return None
    columns = {column.name for column in entity.columns}
    targets = {relation.name: catalog[relation.target] for relation in entity.relations}
    parts: list[Hashable] = []
    for name, value in raw.items():
        if value is None:
            continue
        if name in columns:
            lookups = ((lookup, _lookup_shape(lookup, one)) for lookup, one in value.items())
            parts.append((name, *lookups))
        elif name in targets:
            parts.append((name, _shape(targets[name], catalog, value)))
        else:
            parts.append((name, *(_shape(entity, catalog, one) for one in value)))
    return tuple(parts)


def _lookup_shape(lookup: str, value: Any) -> Hashable:
    if value is None or isinstance(value, bool):
        return value
    if lookup == "inList":
        # The same value twice is compared once; too many are refused, even the same.
        return len(set(value)), len(value) > MAX_LIST_LENGTH
    return bool(value) if isinstance(value, str) else ...


def _order_shape(raw: Iterable[Any] | None) -> Hashable:
    return tuple(_nested_items(one) for one in raw or ())


def _nested_items(raw: Any) -> Hashable:
    if isinstance(raw, Mapping):
        return tuple((name, _nested_items(value)) for name, value in raw.items())
    return str(raw)
