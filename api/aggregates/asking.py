"""Reading what an aggregate field asks for: its arguments, and the measures selected below it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphql import FieldNode, GraphQLField, GraphQLObjectType, get_argument_values, get_named_type
from strawberry_django import Ordering

from ..catalog import Catalog, Entity
from ..compiled.arguments import filter_of
from ..compiled.selection import Selection
from ..errors import RequestRefused
from ..orders import MAX_ORDERS
from ..pages import DEFAULT_LIMIT, MAX_LIMIT
from .questions import COUNT, FUNCTIONS, Grouping, Measure, Part, Question, groupings

MAX_GROUPINGS = 8
_MOST_POINTS = 20


def read_question(
    entity: Entity,
    catalog: Catalog,
    definition: GraphQLField,
    node: FieldNode,
    variables: Any,
) -> Question:
    """What the arguments of an aggregate field ask for. Raises `RequestRefused`."""
    given = get_argument_values(definition, node, variables)
    known = {each.name: each for each in groupings(entity)}
    chosen = tuple(dict.fromkeys(known[each.value] for each in given.get("groupBy") or ()))
    if len(chosen) > MAX_GROUPINGS:
        raise RequestRefused(f"groupBy has {len(chosen)} parts; it takes at most {MAX_GROUPINGS}.")
    size = given.get("first")
    size = DEFAULT_LIMIT if size is None else size
    if not 0 <= size <= MAX_LIMIT:
        raise RequestRefused(
            f"first is {size}; it is from 0 to {MAX_LIMIT}. "
            "Ask for the groups beyond with the page's cursor."
        )
    return Question(
        entity=entity,
        filters=filter_of(entity, catalog, given.get("filters")),
        groupings=chosen,
        order=tuple(_order(entity, given.get("order") or (), chosen)),
        size=size,
        after=given.get("after"),
    )


def _order(
    entity: Entity, given: Sequence[Mapping[str, Any]], chosen: Sequence[Grouping]
) -> Iterator[Part]:
    if len(given) > MAX_ORDERS:
        raise RequestRefused(f"order has {len(given)} parts; it takes at most {MAX_ORDERS}.")
    seen: set[object] = set()
    for one in given:
        ((name, how),) = one.items()
        by: Grouping | Measure = COUNT
        if name != "count":
            ((field, how),) = how.items()
            by = _ordered_by(entity, name, field, chosen)
        if by not in seen:
            seen.add(by)
            yield _part(by, how)
    for grouping in chosen:
        if grouping not in seen:
            yield Part(grouping, False, False)


def _ordered_by(
    entity: Entity, name: str, field: str, chosen: Sequence[Grouping]
) -> Grouping | Measure:
    if name == "key":
        for grouping in chosen:
            if grouping.name == field:
                return grouping
        raise RequestRefused(f"order names key.{field}, which groupBy does not.")
    return Measure(name, _attname(entity, field))


def _part(by: Grouping | Measure, how: Ordering) -> Part:
    return Part(by, how.name.startswith("DESC"), how.name.endswith("NULLS_FIRST"))


def _attname(entity: Entity, name: str) -> str:
    return next(column.attname for column in entity.columns if column.name == name)


def quantile_points(definition: GraphQLField, node: FieldNode, variables: Any) -> tuple[float, ...]:
    """The quantiles that a field asks for. Raises `RequestRefused`."""
    points = tuple(map(float, get_argument_values(definition, node, variables)["p"]))
    if not 1 <= len(points) <= _MOST_POINTS or not all(0 <= point <= 1 for point in points):
        raise RequestRefused(
            f"p is {list(points)}; it lists 1 to {_MOST_POINTS} numbers from 0 to 1, "
            "such as [0.5, 0.99]."
        )
    return points


def with_selected(
    question: Question,
    selection: Selection,
    shown: GraphQLObjectType,
    nodes: Iterable[FieldNode],
    variables: Any,
) -> Question:
    """The question with the measures that are selected below its field."""
    measures: list[Measure] = []
    counts = False
    for page in selection.fields([node.selection_set for node in nodes]).values():
        name = page[0].name.value
        counts = counts or name == "totalCount"
        if name != "nodes":
            continue
        group: Any = get_named_type(shown.fields["nodes"].type)
        for part in selection.fields([node.selection_set for node in page]).values():
            measures += _measures(question.entity, selection, group, part, variables)
    return replace(question, measures=tuple(dict.fromkeys(measures)), counts_groups=counts)


def _measures(
    entity: Entity,
    selection: Selection,
    group: GraphQLObjectType,
    nodes: Sequence[FieldNode],
    variables: Any,
) -> Iterator[Measure]:
    name = nodes[0].name.value
    if name == "count":
        yield COUNT
    if name not in (*FUNCTIONS, "quantiles"):
        return
    points: tuple[float, ...] = ()
    if name == "quantiles":
        points = quantile_points(group.fields[name], nodes[0], variables)
    for below in selection.fields([node.selection_set for node in nodes]).values():
        if (field := below[0].name.value) != "__typename":
            yield Measure(name, _attname(entity, field), points)
