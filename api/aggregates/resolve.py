"""Aggregates on the ordinary path: the same question, and objects for its groups."""

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, router
from django.db.models import Q
from graphql.execution.values import VariableValues
from strawberry import Info

from ..catalog import Catalog, Entity, Relation
from ..compiled.selection import Selection
from ..compiled.workers import in_worker
from ..connections.resolve import ConnectionResolvers, Ends, Page
from ..errors import RequestRefused
from ..operation import current
from ..resolve import Resolver, Resolvers
from .answers import Groups, answer
from .asking import quantile_points, read_question, with_selected
from .questions import Grouping, Measure, Question
from .statements import cursor

_MOST_GROUPS_WITH_ROWS = 100


@dataclass(kw_only=True)
class Found:
    """A page of groups, as its GraphQL type shows it."""

    question: Question
    groups: Groups
    filters: Any
    """As strawberry has them."""

    @cached_property
    def positions(self) -> dict[Grouping | Measure, int]:
        return {each: number for number, each in enumerate(self.question.columns)}

    @property
    def nodes(self) -> list["Group"]:
        return [Group(self, row) for row in self.groups.rows]

    @property
    def page_info(self) -> Ends:
        rows = self.groups.rows
        ends = [cursor(self.question, row) for row in (rows[:1] + rows[-1:])]
        start, end = ends or (None, None)
        return Ends(self.question.after is not None, self.groups.has_more, start, end)

    @property
    def total_count(self) -> int | None:
        return self.groups.count

    @property
    def answered_by(self) -> str:
        return self.groups.answered_by


class Group:
    """One group: the root of its key and of its measures."""

    def __init__(self, found: Found, row: tuple[Any, ...]) -> None:
        self.found = found
        self.row = row

    def __getattr__(self, name: str) -> Any:
        """A field of its key."""
        if not name.startswith("group_"):
            raise AttributeError(name)
        for grouping in self.found.question.groupings:
            if grouping.name == name.removeprefix("group_"):
                return self.row[self.found.positions[grouping]]
        raise not_grouped(name.removeprefix("group_"))

    def condition(self) -> Q:
        """Which rows are its own."""
        found = Q()
        for grouping in self.found.question.groupings:
            value = self.row[self.found.positions[grouping]]
            found &= _within(grouping, value)
        return found


def not_grouped(name: str) -> RequestRefused:
    """The error of a key's field that groups do not share."""
    return RequestRefused(f"key.{name} is selected, and groupBy does not name {name}.")


def _values(group: Group, function: str, points: tuple[float, ...] = ()) -> SimpleNamespace:
    """The values of one function, by attname."""
    found = SimpleNamespace()
    for each, position in group.found.positions.items():
        if isinstance(each, Measure) and (each.function, each.points) == (function, points):
            assert each.attname is not None
            value = group.row[position]
            setattr(found, each.attname, [None] * len(points) if points and not value else value)
    return found


def key_link(resolvers: Resolvers, entity: Entity, relation: Relation) -> Resolver:
    """The resolver of the row that a group's key leads to."""
    follow = resolvers.to_one(relation)
    name = f"group_{entity.column(relation.own).name}"

    def resolve(root: Group, info: Info) -> Any:
        return follow(SimpleNamespace(**{relation.own: getattr(root, name)}), info)

    return resolve


def measure_part(function: str) -> Resolver:
    """The resolver of a group's count, or of the values of a function."""

    def resolve(root: Group) -> Any:
        if function == "count":
            return root.row[root.found.positions[Measure("count")]]
        return _values(root, function)

    return resolve


def quantile_part() -> Resolver:
    """The resolver of a group's quantiles."""

    def resolve(root: Group, info: Info, p: list[float]) -> SimpleNamespace:
        raw: Any = info._raw_info
        definition = raw.parent_type.fields[raw.field_name]
        points = quantile_points(definition, raw.field_nodes[0], _variables(raw))
        return _values(root, "quantiles", points)

    return resolve


def rows_resolver(entity: Entity, connected: ConnectionResolvers) -> Resolver:
    """The resolver of a group's rows."""

    def resolve(root: Group, info: Info, **asked: Any) -> Awaitable[Page]:
        found = root.found
        if len(found.groups.rows) > _MOST_GROUPS_WITH_ROWS:
            raise RequestRefused(
                f"rows are given of {_MOST_GROUPS_WITH_ROWS} groups at most, and these are "
                f"{len(found.groups.rows)}. Ask for first: {_MOST_GROUPS_WITH_ROWS}."
            )
        asked["filters"] = found.filters
        return connected.page(entity, info, asked, root.condition())

    return resolve


class AggregateResolvers:
    """Makes the resolvers of aggregates."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def aggregate(self, entity: Entity) -> Resolver:
        """Groups of an entity's rows."""

        async def resolve(info: Info, **asked: Any) -> Found:
            raw: Any = info._raw_info
            definition = raw.parent_type.fields[raw.field_name]
            variables = _variables(raw)
            question = read_question(
                entity, self._catalog, definition, raw.field_nodes[0], variables
            )
            shown = raw.schema.type_map[entity.names.groups_type]
            question = with_selected(question, Selection.of(raw), shown, raw.field_nodes, variables)
            operation = current()
            alias = router.db_for_read(entity.model)
            work: Callable[[], Groups] = lambda: answer(  # noqa: E731
                self._catalog, question, alias
            )
            is_now = alias == DEFAULT_DB_ALIAS
            groups = await (in_worker(work) if is_now else sync_to_async(work)())
            operation.spend(len(groups.rows))
            return Found(question=question, groups=groups, filters=asked.get("filters"))

        return resolve


def _variables(raw: Any) -> Any:
    given = raw.variable_values
    return given if hasattr(given, "coerced") else VariableValues(sources={}, coerced=given)


def _within(grouping: Grouping, value: Any) -> Q:
    attname = grouping.column.attname
    if value is None:
        return Q(**{f"{attname}__isnull": True})
    if grouping.unit is None:
        return Q(**{attname: value})
    bounds = {"gte": value, "lt": _next(value, grouping.unit)}
    if grouping.column.scalar is dt.datetime and grouping.unit != "hour":
        bounds = {
            name: day and dt.datetime.combine(day, dt.time(), dt.UTC)
            for name, day in bounds.items()
        }
    return Q(**{f"{attname}__{name}": end for name, end in bounds.items() if end is not None})


def _next(value: Any, unit: str) -> Any:
    """The beginning of the period after the one that begins then; null where there is none."""
    try:
        if unit in ("hour", "day", "week"):
            return value + dt.timedelta(**{f"{unit}s": 1})
        months = {"month": 1, "quarter": 3, "year": 12}[unit]
        number = value.year * 12 + value.month - 1 + months
        return value.replace(year=number // 12, month=number % 12 + 1)
    except (OverflowError, ValueError):
        # The calendar ends with the year 9999, which many sources write for "without end".
        return None
