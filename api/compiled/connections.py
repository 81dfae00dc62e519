"""Connections by a plan: a page read flat beyond a cursor, and cursors of the values as read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, Expression, Value
from graphql import FieldNode, GraphQLField, get_argument_values, get_named_type
from graphql.execution.values import VariableValues

from .. import meanings
from ..catalog import Catalog, Entity
from ..connections.counts import CountMode, capped, check_bound, exact
from ..connections.cursors import Term, beyond, decode, encode, terms_of
from ..connections.pages import Window, window_of
from ..errors import NotCompiled
from . import drafts
from .arguments import Arguments, Asked, Beyond
from .levels import Level, ObjectShape
from .plan import Root, Work
from .reading import Reader, Row
from .statements import CursorHole, Draft, Hole, Hollow, Rows, Statement

_CURSOR = "rootcellar_cursor_"


@dataclass(slots=True)
class Place:
    """The page that was read: what the selected fields of a connection show parts of."""

    reader: Reader
    asked: Asked
    window: Window
    entity: Entity
    terms: Sequence[Term]
    rows: list[Row]
    has_more: bool
    width: int
    """How many columns come before those of the cursor."""

    def cursor(self, row: Row) -> str:
        connection = self.reader.connection
        values = [
            _from_database(value, term, connection)
            for value, term in zip(row[self.width :], self.terms, strict=True)
        ]
        return encode(self.entity, self.terms, values)

    @property
    def has_previous_page(self) -> bool:
        return self.window.ends(self.has_more)[0]

    @property
    def has_next_page(self) -> bool:
        return self.window.ends(self.has_more)[1]

    @property
    def start_cursor(self) -> str | None:
        return self.cursor(self.rows[0]) if self.rows else None

    @property
    def end_cursor(self) -> str | None:
        return self.cursor(self.rows[-1]) if self.rows else None


class PagePart(Protocol):
    """A selected field of a connection."""

    def show(self, place: Place) -> Any:
        """Its value, for orjson."""


@dataclass(slots=True)
class NamePart:
    """`__typename`."""

    name: str

    def show(self, place: Place) -> Any:
        return self.name


@dataclass(slots=True)
class NodesPart:
    """The rows."""

    level: Level

    def show(self, place: Place) -> Any:
        return self.level.show(place.reader, [row[: place.width] for row in place.rows], None)


@dataclass(slots=True)
class EdgesPart:
    """By response key: a level for `node`, a string for `__typename`, null for `cursor`."""

    fields: dict[str, NodesPart | str | None]

    def show(self, place: Place) -> Any:
        columns: list[Sequence[Any]] = []
        for how in self.fields.values():
            if how is None:
                columns.append([place.cursor(row) for row in place.rows])
            elif isinstance(how, str):
                columns.append([how] * len(place.rows))
            else:
                columns.append(how.show(place))
        if not columns:
            return [{} for _ in place.rows]
        return [
            dict(zip(self.fields, values, strict=True)) for values in zip(*columns, strict=True)
        ]


@dataclass(slots=True)
class PageInfoPart:
    """The ends of the page."""

    shape: ObjectShape

    def show(self, place: Place) -> Any:
        return self.shape.show(place)


@dataclass(slots=True)
class TotalPart:
    """The number of rows on all pages."""

    statement: Statement

    def show(self, place: Place) -> Any:
        return _number(place, self.statement, {})


@dataclass(slots=True)
class CountPart:
    """A count as it is asked for; an estimate is the ordinary executor's."""

    definition: GraphQLField
    node: FieldNode
    shape: ObjectShape
    whole: Statement
    part: Statement

    def show(self, place: Place) -> Any:
        asked = get_argument_values(self.definition, self.node, place.reader.variables)
        mode = asked["mode"]
        if mode is CountMode.CAPPED:
            bound = check_bound(asked["upTo"])
            found = _number(place, self.part, {Hole.LIMIT: bound + 1})
            return self.shape.show(capped(found, bound))
        if mode is CountMode.ESTIMATE:
            raise NotCompiled("an estimate")
        return self.shape.show(exact(_number(place, self.whole, {})))


def _number(place: Place, statement: Statement, holes: Mapping[Hollow, Any]) -> int:
    rows = place.reader.rows(statement, place.asked, holes)
    return int(rows[0][0]) if rows else 0


@dataclass(slots=True)
class ConnectionArguments(Arguments):
    """Reads a connection's arguments: as a list's, and which way it is walked from where."""

    def window(self, variables: VariableValues) -> Window:
        return window_of(get_argument_values(self.definition, self.node, variables))


@dataclass(slots=True)
class ConnectionRoot:
    """A page of an entity's rows, by cursor."""

    entity: Entity
    catalog: Catalog
    arguments: ConnectionArguments
    reads: list[str]
    statement: Statement
    parts: dict[str, PagePart] = field(default_factory=dict)

    def answer(self, reader: Reader) -> Any:
        asked = self.arguments.read(reader.variables)
        window = self.arguments.window(reader.variables)
        terms = terms_of(self.entity, self.catalog, asked.order, reader.connection.vendor)
        holes: dict[Hollow, Any] = {Hole.LIMIT: window.size + 1}
        nulls = None
        if window.cursor is not None:
            values = decode(self.entity, terms, window.cursor)
            nulls = tuple(value is None for value in values)
            for position, (term, value) in enumerate(zip(terms, values, strict=True)):
                prepared = term.field.get_db_prep_value(value, reader.connection)
                holes[CursorHole(position)] = prepared
        way = Beyond(is_backward=window.is_backward, nulls=nulls)
        of_page = replace(asked, shape=(asked.shape, way), beyond=way)
        found = reader.rows(self.statement, of_page, holes)
        rows, has_more = window.page(found)
        reader.spend(len(rows))
        place = Place(
            reader=reader,
            asked=asked,
            window=window,
            entity=self.entity,
            terms=terms,
            rows=rows,
            has_more=has_more,
            width=len(self.reads),
        )
        return {key: part.show(place) for key, part in self.parts.items()}


def _connection(
    work: Work,
    meaning: meanings.ConnectedRows,
    definition: GraphQLField,
    nodes: Sequence[FieldNode],
) -> Root:
    entity = meaning.entity
    reads: list[str] = []
    root = ConnectionRoot(
        entity=entity,
        catalog=work.catalog,
        arguments=ConnectionArguments(definition, nodes[0], entity, work.catalog),
        reads=reads,
        statement=_page(entity, work.catalog, reads),
    )
    shown: Any = get_named_type(definition.type)
    for key, selected in work.selection.fields([node.selection_set for node in nodes]).items():
        root.parts[key] = _part(work, entity, shown, selected, reads)
    if not reads:
        reads.append(entity.key[0])
    return root


def _part(
    work: Work, entity: Entity, shown: Any, nodes: Sequence[FieldNode], reads: list[str]
) -> PagePart:
    name = nodes[0].name.value
    if name == "__typename":
        return NamePart(shown.name)
    definition: GraphQLField = shown.fields[name]
    if name == "nodes":
        return NodesPart(work.level(entity, definition.type, nodes, reads))
    if name == "edges":
        return _edges(work, entity, get_named_type(definition.type), nodes, reads)
    if name == "pageInfo":
        return PageInfoPart(work.shape(definition.type, nodes))
    work.read_count += 1
    whole = drafts.count(entity, work.catalog)
    if name == "totalCount":
        return TotalPart(whole)
    part = drafts.capped_count(entity, work.catalog)
    return CountPart(definition, nodes[0], work.shape(definition.type, nodes), whole, part)


def _edges(
    work: Work, entity: Entity, shown: Any, nodes: Sequence[FieldNode], reads: list[str]
) -> PagePart:
    fields: dict[str, NodesPart | str | None] = {}
    for key, selected in work.selection.fields([node.selection_set for node in nodes]).items():
        name = selected[0].name.value
        if name == "__typename":
            fields[key] = shown.name
        elif name == "cursor":
            fields[key] = None
        else:
            level = work.level(entity, shown.fields[name].type, selected, reads)
            fields[key] = NodesPart(level)
    return EdgesPart(fields)


def _page(entity: Entity, catalog: Catalog, reads: Sequence[str]) -> Statement:
    """The rows beyond a cursor, with the order's columns behind those that are read."""

    def draft(rows: Rows, asked: Asked) -> Draft:
        way = asked.beyond
        assert way is not None
        terms = terms_of(entity, catalog, asked.order, _vendor(rows))
        if way.nulls is not None:
            rows = rows.filter(beyond(terms, way.nulls, _Parameter, backward=way.is_backward))
        named = {f"{_CURSOR}{number}": term.expression() for number, term in enumerate(terms)}
        ordered = rows.annotate(**named).order_by(
            *(term.order(backward=way.is_backward) for term in terms)
        )
        return Draft(
            rows=ordered.values_list(*reads, *named), tail=" LIMIT %s", holes=(Hole.LIMIT,)
        )

    return Statement(entity, catalog, draft)


def _vendor(rows: Rows) -> str:
    return connections[rows.db].vendor


class _Parameter(Expression):
    """A value of the cursor, which is known when the operation runs."""

    output_field = BooleanField()

    def __init__(self, position: int) -> None:
        super().__init__()
        self.position = position

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        return "%s", (CursorHole(self.position),)


def _from_database(value: Any, term: Term, connection: BaseDatabaseWrapper) -> Any:
    expression = Value(None, output_field=term.field)
    for convert in [
        *connection.ops.get_db_converters(expression),
        *expression.get_db_converters(connection),
    ]:
        value = convert(value, expression, connection)
    return value


ROOTS: dict[type, Callable[..., Root]] = {meanings.ConnectedRows: _connection}
"""The maker of connections."""
