"""Aggregates by a plan: groups as columns of values, written as JSON at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from graphql import FieldNode, GraphQLField, GraphQLObjectType, get_named_type

from .. import meanings
from ..aggregates.answers import answer
from ..aggregates.asking import quantile_points, read_question, with_selected
from ..aggregates.questions import (
    COUNT,
    FUNCTIONS,
    Grouping,
    Measure,
    Question,
    groupings,
    scalar_of,
)
from ..aggregates.statements import cursor
from ..catalog import Catalog, Entity, Relation
from ..errors import NotCompiled
from ..scalars import BigInt
from . import drafts
from .levels import Columns, LinkedRowShown, ObjectShape
from .plan import Root, Work
from .reading import Ran, Reader
from .values import Values, Writer, field_writer


@dataclass(slots=True)
class Found:
    """A page of groups: the values of each column of the question."""

    reader: Reader
    question: Question
    columns: dict[Grouping | Measure, Values]
    size: int
    start_cursor: str | None
    end_cursor: str | None
    has_previous_page: bool
    has_next_page: bool


class GroupPart(Protocol):
    """A selected field of a group, or of a part of it."""

    def show(self, found: Found) -> Values:
        """Its values, one for each group."""


@dataclass(slots=True)
class Named:
    """`__typename`."""

    name: str

    def show(self, found: Found) -> Values:
        return [self.name] * found.size


@dataclass(slots=True)
class Together:
    """Fields that stand in one object."""

    fields: dict[str, GroupPart]

    def show(self, found: Found) -> Values:
        if not self.fields:
            return [{} for _ in range(found.size)]
        names = tuple(self.fields)
        columns = [one.show(found) for one in self.fields.values()]
        return [dict(zip(names, values)) for values in zip(*columns)]  # noqa: B905


@dataclass(slots=True)
class Measured:
    """The values of a measure."""

    measure: Measure
    writer: Writer

    def show(self, found: Found) -> Values:
        return self.writer(found.columns[self.measure])


@dataclass(slots=True)
class Quantiles:
    """Lists of the values at some points."""

    definition: GraphQLField
    node: FieldNode
    fields: dict[str, tuple[str, Writer] | str]
    """By response key: the column, and how its values are written; or `__typename`."""

    def show(self, found: Found) -> Values:
        points = quantile_points(self.definition, self.node, found.reader.variables)
        columns: list[Values] = []
        for how in self.fields.values():
            if isinstance(how, str):
                columns.append([how] * found.size)
                continue
            attname, writer = how
            lists = found.columns[Measure("quantiles", attname, points)]
            columns.append([writer(one or [None] * len(points)) for one in lists])
        names = tuple(self.fields)
        if not columns:
            return [{} for _ in range(found.size)]
        return [dict(zip(names, values)) for values in zip(*columns)]  # noqa: B905


@dataclass(slots=True)
class KeyValue:
    """The groups' values of a grouping, as their key shows them."""

    name: str
    writer: Writer

    def show(self, found: Found) -> Values:
        return self.writer(found.columns[_grouping(found, self.name)])


@dataclass(slots=True)
class KeyRow:
    """The row that each group's key leads to."""

    name: str
    relation: Relation
    entity: Entity
    shown: LinkedRowShown

    def show(self, found: Found) -> Values:
        connection = found.reader.connection
        linking: Any = self.entity.model._meta.get_field(self.relation.own)
        keys: Columns = [
            [
                None if value is None else linking.get_db_prep_value(value, connection)
                for value in found.columns[_grouping(found, self.name)]
            ]
        ]
        return self.shown.show(found.reader, keys, None)


def _grouping(found: Found, name: str) -> Grouping:
    for grouping in found.question.groupings:
        if grouping.name == name:
            return grouping
    raise NotCompiled(f"key.{name}, which groupBy does not name")


@dataclass(slots=True)
class AggregateRoot:
    """Groups of an entity's rows."""

    entity: Entity
    catalog: Catalog
    definition: GraphQLField
    nodes: Sequence[FieldNode]
    work: Work
    parts: dict[str, Together | ObjectShape | str] = field(default_factory=dict)
    """By response key: the groups, the ends of their page, or a name of something simple."""
    _constants: list[Question] = field(default_factory=list)

    def answer(self, reader: Reader) -> Any:
        question = self._question(reader)
        groups = answer(self.catalog, question, reader.connection.alias)
        reader.spend(len(groups.rows))
        reader.ran.append(
            Ran(
                sql=f"({groups.answered_by}) {groups.sql}",
                row_count=len(groups.rows),
                milliseconds=groups.milliseconds,
            )
        )
        rows = groups.rows
        values = list(zip(*rows, strict=True)) if rows else [()] * len(question.columns)
        found = Found(
            reader=reader,
            question=question,
            columns=dict(zip(question.columns, values, strict=False)),
            size=len(rows),
            start_cursor=cursor(question, rows[0]) if rows else None,
            end_cursor=cursor(question, rows[-1]) if rows else None,
            has_previous_page=question.after is not None,
            has_next_page=groups.has_more,
        )
        simple = {"totalCount": groups.count, "answeredBy": groups.answered_by}
        return {
            key: simple.get(part, part) if isinstance(part, str) else part.show(found)
            for key, part in self.parts.items()
        }

    def _question(self, reader: Reader) -> Question:
        question = read_question(
            self.entity, self.catalog, self.definition, self.nodes[0], reader.variables
        )
        shown: Any = get_named_type(self.definition.type)
        return with_selected(question, self.work.selection, shown, self.nodes, reader.variables)


def _aggregate(
    work: Work, meaning: meanings.Aggregated, definition: GraphQLField, nodes: Sequence[FieldNode]
) -> Root:
    root = AggregateRoot(meaning.entity, work.catalog, definition, nodes, work)
    shown: Any = get_named_type(definition.type)
    for key, selected in work.selection.fields([node.selection_set for node in nodes]).items():
        name = selected[0].name.value
        if name == "__typename":
            root.parts[key] = shown.name
        elif name == "pageInfo":
            root.parts[key] = work.shape(shown.fields[name].type, selected)
        elif name == "nodes":
            root.parts[key] = _together(work, meaning.entity, shown.fields[name], selected, _group)
        else:
            root.parts[key] = name
    return root


Make = Callable[[Work, Entity, GraphQLObjectType, Sequence[FieldNode]], GroupPart]


def _together(
    work: Work, entity: Entity, definition: GraphQLField, nodes: Sequence[FieldNode], make: Make
) -> Together:
    shown: Any = get_named_type(definition.type)
    found = Together({})
    for key, selected in work.selection.fields([node.selection_set for node in nodes]).items():
        if selected[0].name.value == "__typename":
            found.fields[key] = Named(shown.name)
        else:
            found.fields[key] = make(work, entity, shown, selected)
    return found


def _group(
    work: Work, entity: Entity, shown: GraphQLObjectType, nodes: Sequence[FieldNode]
) -> GroupPart:
    name = nodes[0].name.value
    definition = shown.fields[name]
    if name == "count":
        return Measured(COUNT, field_writer(definition.type, BigInt))
    if name == "key":
        return _together(work, entity, definition, nodes, _key)
    if name in FUNCTIONS:

        def value(
            work: Work, entity: Entity, shown: GraphQLObjectType, nodes: Sequence[FieldNode]
        ) -> GroupPart:
            column = nodes[0].name.value
            measure = Measure(name, _attname(entity, column))
            scalar = scalar_of(entity, measure)
            return Measured(measure, field_writer(shown.fields[column].type, scalar))

        return _together(work, entity, definition, nodes, value)
    if name == "quantiles":
        return _quantiles(work, entity, definition, nodes)
    raise NotCompiled(f"{shown.name}.{name} has a resolver of its own")


def _quantiles(
    work: Work, entity: Entity, definition: GraphQLField, nodes: Sequence[FieldNode]
) -> GroupPart:
    shown: Any = get_named_type(definition.type)
    found = Quantiles(definition, nodes[0], {})
    for key, selected in work.selection.fields([node.selection_set for node in nodes]).items():
        name = selected[0].name.value
        if name == "__typename":
            found.fields[key] = shown.name
            continue
        element = shown.fields[name].type.of_type
        scalar = scalar_of(entity, Measure("quantiles", _attname(entity, name)))
        found.fields[key] = (_attname(entity, name), field_writer(element, scalar))
    return found


def _key(
    work: Work, entity: Entity, shown: GraphQLObjectType, nodes: Sequence[FieldNode]
) -> GroupPart:
    name = nodes[0].name.value
    definition = shown.fields[name]
    for relation in entity.relations:
        if relation.name == name and not relation.is_list:
            return _key_row(work, entity, relation, definition, nodes)
    scalar = next(each.scalar for each in groupings(entity) if each.name == name)
    return KeyValue(name, field_writer(definition.type, scalar))


def _key_row(
    work: Work,
    entity: Entity,
    relation: Relation,
    definition: GraphQLField,
    nodes: Sequence[FieldNode],
) -> GroupPart:
    work.read_count += 1
    # The copies may be of a load that is older than the database's.
    optional = replace(work.linking(entity, relation), is_nullable=True)
    below = work.level(work.catalog[relation.target], definition.type, nodes)
    back = below.place(relation.back)
    statement = drafts.linked_rows(work.catalog, relation, below.reads)
    shown = LinkedRowShown(optional, 0, below, back, statement)
    return KeyRow(entity.column(relation.own).name, relation, entity, shown)


def _attname(entity: Entity, name: str) -> str:
    return next(column.attname for column in entity.columns if column.name == name)


ROOTS: dict[type, Callable[..., Root]] = {meanings.Aggregated: _aggregate}
"""The maker of aggregates."""
