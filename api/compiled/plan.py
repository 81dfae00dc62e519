"""Plans: what an operation selects, worked out once into levels and their statements.

A plan follows the notes on the schema's fields (`api.meanings`). It holds no values: those
come with the variables. What has no note, or is not covered here, raises `NotCompiled`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from .. import meanings
from ..catalog import LINEAGE_COLUMN, Catalog, Entity, Relation
from ..errors import NotCompiled
from ..scalars import BigInt
from . import drafts
from .arguments import Arguments, Key
from .levels import (
    BuiltShown,
    ColumnShown,
    Level,
    LinkedCountShown,
    LinkedRowShown,
    LinkedRowsShown,
    ListShape,
    NameShown,
    ObjectShape,
    PayloadShown,
    Shown,
)
from .reading import Reader
from .selection import Selection, Switches, find_operation
from .statements import Hole, Statement
from .values import Writer, field_writer

# What two columns that link have in common: values that compare alike in Python and in SQL.
_LINKING = (str, int, BigInt, UUID)


class Root(Protocol):
    """A selected field of `Query`."""

    def answer(self, reader: Reader) -> Any:
        """Its value, for orjson."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one operation is answered, for one setting of its switches."""

    operation: OperationDefinitionNode
    roots: dict[str, Root]
    is_one_statement: bool
    """Whether it reads once at most, and so needs no snapshot to be consistent."""

    def answer(self, reader: Reader) -> dict[str, Any]:
        """The answer's data, for orjson."""
        return {key: root.answer(reader) for key, root in self.roots.items()}


@dataclass(slots=True)
class RowsRoot:
    """A page of an entity's rows."""

    level: Level
    arguments: Arguments
    statement: Statement

    def answer(self, reader: Reader) -> Any:
        asked = self.arguments.read(reader.variables)
        page = {Hole.OFFSET: asked.offset, Hole.LIMIT: asked.limit}
        rows = reader.rows(self.statement, asked, page)
        reader.spend(len(rows))
        return self.level.show(reader, rows, None)


@dataclass(slots=True)
class RowRoot:
    """The row with a key, or null."""

    level: Level
    key: Key
    statement: Statement
    followed: tuple[LinkedRowsShown, ...]
    """Those of its fields that follow the key itself: their rows need not wait for the row."""

    def answer(self, reader: Reader) -> Any:
        asked = self.key.read(reader.variables)
        ahead = {}
        if self.followed and reader.state.is_at_once:
            key = asked.tests[0].value
            ahead = {each.name(key): each.asking(reader, key) for each in self.followed}
        rows = reader.rows_and_ahead(self.statement, asked, ahead)
        reader.spend(len(rows))
        found = self.level.show(reader, rows, None)
        return found[0] if found else None


@dataclass(slots=True)
class CountRoot:
    """How many rows there are."""

    arguments: Arguments
    statement: Statement
    writer: Writer

    def answer(self, reader: Reader) -> Any:
        rows = reader.rows(self.statement, self.arguments.read(reader.variables), {})
        (shown,) = self.writer([rows[0][0] if rows else 0])
        return shown


@dataclass(slots=True)
class NameRoot:
    """`__typename`."""

    name: str

    def answer(self, reader: Reader) -> Any:
        return self.name


class Planner:
    """Makes the plans of one schema."""

    def __init__(
        self, catalog: Catalog, schema: GraphQLSchema, roots: Mapping[type, Callable[..., Root]]
    ) -> None:
        self._catalog = catalog
        self._schema = schema
        self._roots = roots

    def plan(self, document: DocumentNode, name: str | None, switches: Switches) -> Plan:
        """The plan of an operation in a validated document. Raises `NotCompiled`."""
        operation = find_operation(document, name)
        query = self._schema.query_type
        if query is None or operation.operation.value != "query":
            raise NotCompiled(f"a {operation.operation.value}")
        work = Work(self._catalog, Selection(document, switches), self._roots)
        roots: dict[str, Root] = {}
        for key, nodes in work.selection.fields([operation.selection_set]).items():
            if nodes[0].name.value == "__typename":
                roots[key] = NameRoot(query.name)
            else:
                roots[key] = work.root(query, nodes)
        return Plan(operation, roots, work.read_count <= 1)


@dataclass(slots=True)
class Work:
    """The making of one plan."""

    catalog: Catalog
    selection: Selection
    roots: Mapping[type, Callable[..., Root]]
    """By what a field of `Query` is noted to mean, how its part of a plan is made."""
    read_count: int = 0
    _makers: dict[type, Callable[..., Shown]] = field(init=False)

    def __post_init__(self) -> None:
        self._makers = {
            meanings.ColumnValue: self._column,
            meanings.LinkedRow: self._linked_row,
            meanings.LinkedRows: self._linked_rows,
            meanings.LinkedCount: self._linked_count,
            meanings.Lineage: self._payload,
            meanings.Built: self._build,
        }

    def root(self, query: GraphQLObjectType, nodes: Sequence[FieldNode]) -> Root:
        """A field of `Query`; each kind that is noted in `api.meanings` has its maker."""
        definition, meaning = _read(query, nodes[0])
        make = self.roots.get(type(meaning))
        if make is None:
            raise NotCompiled(f"{nodes[0].name.value} has a resolver of its own")
        self.read_count += 1
        return make(self, meaning, definition, nodes)

    def level(
        self,
        entity: Entity,
        kind: Any,
        nodes: Sequence[FieldNode],
        reads: list[str] | None = None,
    ) -> Level:
        """The selection below a field that gives rows of an entity.

        `reads` are the columns of another level that shows the same rows.
        """
        shown = get_named_type(kind)
        assert isinstance(shown, GraphQLObjectType)
        origin = shown.extensions[GraphQLCoreConverter.DEFINITION_BACKREF].origin
        if hasattr(origin, "get_queryset"):
            raise NotCompiled(f"{shown.name} chooses its rows in get_queryset")
        level = Level() if reads is None else Level(reads)
        parts = [node.selection_set for node in nodes]
        for key, selected in self.selection.fields(parts).items():
            name = selected[0].name.value
            if name == "__typename":
                level.fields[key] = NameShown(shown.name)
                continue
            definition, meaning = _read(shown, selected[0])
            make = self._makers.get(type(meaning))
            if make is None:
                raise NotCompiled(f"{shown.name}.{name} has a resolver of its own")
            level.fields[key] = make(level, entity, meaning, definition, selected)
        if not level.reads:
            level.place(entity.key[0])
        return level

    def _column(
        self,
        level: Level,
        entity: Entity,
        meaning: meanings.ColumnValue,
        definition: GraphQLField,
        nodes: Sequence[FieldNode],
    ) -> Shown:
        column = meaning.column
        return ColumnShown(entity.model, column, definition.type, level.place(column.attname))

    def _linked_row(
        self,
        level: Level,
        entity: Entity,
        meaning: meanings.LinkedRow,
        definition: GraphQLField,
        nodes: Sequence[FieldNode],
    ) -> Shown:
        relation = self.linking(entity, meaning.relation)
        place = self._lead_on(level, relation)
        below = self.level(self.catalog[relation.target], definition.type, nodes)
        back = below.place(relation.back)
        statement = drafts.linked_rows(self.catalog, relation, below.reads)
        return LinkedRowShown(relation, place, below, back, statement)

    def _linked_rows(
        self,
        level: Level,
        entity: Entity,
        meaning: meanings.LinkedRows,
        definition: GraphQLField,
        nodes: Sequence[FieldNode],
    ) -> Shown:
        relation = self.linking(entity, meaning.relation)
        place = self._lead_on(level, relation)
        target = self.catalog[relation.target]
        below = self.level(target, definition.type, nodes)
        return LinkedRowsShown(
            relation=relation,
            place=place,
            back=below.place(relation.back),
            level=below,
            arguments=Arguments(definition, nodes[0], target, self.catalog),
            of_one=drafts.linked_page(self.catalog, relation, below.reads),
            of_many=drafts.linked_pages(self.catalog, relation, below.reads),
            of_many_whole=drafts.linked_lists(self.catalog, relation, below.reads),
        )

    def _linked_count(
        self,
        level: Level,
        entity: Entity,
        meaning: meanings.LinkedCount,
        definition: GraphQLField,
        nodes: Sequence[FieldNode],
    ) -> Shown:
        relation = self.linking(entity, meaning.relation)
        self.read_count += 1
        return LinkedCountShown(
            relation=relation,
            place=level.place(relation.own),
            arguments=Arguments(definition, nodes[0], self.catalog[relation.target], self.catalog),
            statement=drafts.linked_counts(self.catalog, relation),
            writer=field_writer(definition.type, int),
        )

    def _payload(
        self,
        level: Level,
        entity: Entity,
        meaning: meanings.Lineage,
        definition: GraphQLField,
        nodes: Sequence[FieldNode],
    ) -> Shown:
        self.read_count += 1
        shape = self.shape(definition.type, nodes)
        return PayloadShown(entity.model, level.place(LINEAGE_COLUMN), shape)

    def _build(
        self,
        level: Level,
        entity: Entity,
        meaning: meanings.Built,
        definition: GraphQLField,
        nodes: Sequence[FieldNode],
    ) -> Shown:
        self.read_count += 1
        return BuiltShown(entity.model, self.shape(definition.type, nodes))

    def shape(self, kind: Any, nodes: Sequence[FieldNode]) -> ObjectShape:
        """The selection below a field that gives an object whose attributes are its fields."""
        shown = get_named_type(kind)
        assert isinstance(shown, GraphQLObjectType)
        fields: dict[str, tuple[str, Writer | ListShape | ObjectShape | str]] = {}
        parts = [node.selection_set for node in nodes]
        for key, selected in self.selection.fields(parts).items():
            name = selected[0].name.value
            if name == "__typename":
                fields[key] = ("", shown.name)
                continue
            definition = shown.fields[name]
            made = _strawberry_field(definition)
            if made.base_resolver is not None or definition.args:
                raise NotCompiled(f"{shown.name}.{name} has a resolver of its own")
            inner: Any = definition.type
            is_leaf = is_leaf_type(get_named_type(inner))
            if is_non_null_type(inner) and is_list_type(inner.of_type):
                how = ListShape(field_writer(inner.of_type.of_type, None)) if is_leaf else None
                fields[key] = (made.python_name, how or self.shape(inner, selected))
            elif is_leaf:
                fields[key] = (made.python_name, field_writer(inner, None))
            else:
                raise NotCompiled(f"{shown.name}.{name} is a {inner}")
        return ObjectShape(fields)

    def linking(self, entity: Entity, relation: Relation) -> Relation:
        """A relation whose columns compare alike in Python and SQL; raises for another one."""
        if entity.column(relation.own).scalar not in _LINKING:
            raise NotCompiled(f"{relation.name} links by a column of its kind")
        return relation

    def _lead_on(self, level: Level, relation: Relation) -> int:
        self.read_count += 1
        level.leads_on = True
        return level.place(relation.own)


def _rows(
    work: Work, meaning: meanings.Rows, definition: GraphQLField, nodes: Sequence[FieldNode]
) -> Root:
    entity = meaning.entity
    level = work.level(entity, definition.type, nodes)
    return RowsRoot(
        level,
        Arguments(definition, nodes[0], entity, work.catalog),
        drafts.page(entity, work.catalog, level.reads),
    )


def _row(
    work: Work, meaning: meanings.RowByKey, definition: GraphQLField, nodes: Sequence[FieldNode]
) -> Root:
    entity = meaning.entity
    level = work.level(entity, definition.type, nodes)
    return RowRoot(
        level,
        Key(definition, nodes[0], entity),
        drafts.row(entity, work.catalog, level.reads),
        tuple(
            shown
            for shown in level.fields.values()
            if isinstance(shown, LinkedRowsShown) and [shown.relation.own] == list(entity.key)
        ),
    )


def _count(
    work: Work, meaning: meanings.RowCount, definition: GraphQLField, nodes: Sequence[FieldNode]
) -> Root:
    return CountRoot(
        Arguments(definition, nodes[0], meaning.entity, work.catalog),
        drafts.count(meaning.entity, work.catalog),
        field_writer(definition.type, int),
    )


ROOTS: dict[type, Callable[..., Root]] = {
    meanings.Rows: _rows,
    meanings.RowByKey: _row,
    meanings.RowCount: _count,
}
"""The makers of lists, counts and single rows."""


def _read(parent: GraphQLObjectType, node: FieldNode) -> tuple[GraphQLField, object | None]:
    definition = parent.fields.get(node.name.value)
    if definition is None:
        raise NotCompiled(f"{node.name.value} tells of the schema")
    return definition, meanings.meaning_of(_strawberry_field(definition))


def _strawberry_field(definition: GraphQLField) -> StrawberryField:
    found: StrawberryField = definition.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
    return found
