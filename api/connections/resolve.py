"""Connections on the ordinary path: a page of model instances, and the cursors of its ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections
from django.db.models import Model, Q, QuerySet, Value
from graphql import FieldNode, GraphQLList
from strawberry import Info

from ..catalog import Entity
from ..compiled.selection import Selection
from ..operation import current
from ..resolve import Resolver, Resolvers
from ..unloaded import read
from .counts import Count, CountMode, count, exact
from .cursors import Term, beyond, decode, encode, terms_of
from .pages import Window, window_of

Found = TypeVar("Found")

_CURSOR = "rootcellar_cursor_"


@dataclass(frozen=True, slots=True)
class Edge:
    """A row and its cursor."""

    cursor: str
    node: Model


@dataclass(frozen=True, slots=True)
class Ends:
    """What `PageInfo` shows."""

    has_previous_page: bool
    has_next_page: bool
    start_cursor: str | None
    end_cursor: str | None


@dataclass(kw_only=True)
class Page:
    """A page that was read, and how to count the rows of all pages."""

    entity: Entity
    terms: Sequence[Term]
    window: Window
    nodes: list[Model]
    has_more: bool
    rows: QuerySet[Model]
    """The rows of all pages."""
    is_filtered: bool

    def cursor(self, row: Model) -> str:
        values = [getattr(row, f"{_CURSOR}{number}") for number in range(len(self.terms))]
        return encode(self.entity, self.terms, values)

    @cached_property
    def edges(self) -> list[Edge]:
        return [Edge(self.cursor(row), row) for row in self.nodes]

    @property
    def page_info(self) -> Ends:
        before, after = self.window.ends(self.has_more)
        ends = (self.nodes[0], self.nodes[-1]) if self.nodes else ()
        start, end = map(self.cursor, ends) if ends else (None, None)
        return Ends(before, after, start, end)


class ConnectionResolvers:
    """Makes the resolvers of connections, which choose rows as those of lists do."""

    def __init__(self, resolvers: Resolvers) -> None:
        self._resolvers = resolvers

    def connection(self, entity: Entity) -> Resolver:
        """A page of an entity's rows, by cursor."""

        async def resolve(info: Info, **asked: Any) -> Page:
            return await self.page(entity, info, asked, Q())

        return resolve

    async def page(self, entity: Entity, info: Info, asked: dict[str, Any], among: Q) -> Page:
        """A page of an entity's rows that fulfil a condition and what is asked for."""
        chosen, operation = self._resolvers.chosen(entity, asked).filter(among), current()
        window = window_of(asked)
        shown = self._resolvers.rows(entity, _of_rows(info, entity)).filter(among)

        def fetch() -> Page:
            return self._page(entity, asked, window, chosen, shown)

        page = await sync_to_async(fetch)()
        operation.spend(len(page.nodes))
        return page

    def _page(
        self,
        entity: Entity,
        asked: dict[str, Any],
        window: Window,
        chosen: QuerySet[Model],
        shown: QuerySet[Model],
    ) -> Page:
        vendor = connections[chosen.db].vendor
        terms = terms_of(entity, self._resolvers.catalog, asked.get("order"), vendor)
        rows = shown.filter(self._resolvers.where(entity, asked))
        if window.cursor is not None:
            values = decode(entity, terms, window.cursor)
            rows = rows.filter(
                beyond(
                    terms,
                    [value is None for value in values],
                    lambda place: Value(values[place], output_field=terms[place].field),
                    backward=window.is_backward,
                )
            )
        rows = rows.annotate(
            **{f"{_CURSOR}{number}": term.expression() for number, term in enumerate(terms)}
        ).order_by(*(term.order(backward=window.is_backward) for term in terms))
        nothing: list[Model] = []
        found = read(entity, lambda: list(rows[: window.size + 1]), nothing)
        nodes, has_more = window.page(found)
        return Page(
            entity=entity,
            terms=terms,
            window=window,
            nodes=nodes,
            has_more=has_more,
            rows=chosen,
            is_filtered=bool(chosen.query.where),
        )


async def resolve_total(root: Page) -> int:
    """How many rows the pages of a connection have together."""
    return await _counted(root, root.rows.count, 0)


async def resolve_count(root: Page, mode: CountMode, up_to: int) -> Count:
    """The same, counted as asked."""

    def fetch() -> Count:
        return count(root.entity, root.rows, mode, up_to, is_filtered=root.is_filtered)

    return await _counted(root, fetch, exact(0))


async def _counted(root: Page, fetch: Callable[[], Found], nothing: Found) -> Found:
    return await sync_to_async(read)(root.entity, fetch, nothing)


def _of_rows(info: Info, entity: Entity) -> Info:
    """The information of a field that gives the same rows as a list."""
    raw: Any = info._raw_info
    selection = Selection.of(raw)
    nodes: list[FieldNode] = []
    for below in selection.fields([node.selection_set for node in raw.field_nodes]).values():
        if below[0].name.value == "nodes":
            nodes += below
        elif below[0].name.value == "edges":
            within = selection.fields([node.selection_set for node in below])
            for each in within.values():
                nodes += each if each[0].name.value == "node" else []
    kind = raw.schema.type_map[entity.names.type]
    inner = raw._replace(
        field_nodes=nodes,
        field_name="nodes",
        parent_type=raw.schema.type_map[entity.names.connection_type],
        return_type=GraphQLList(kind),
    )
    return Info(_raw_info=inner, _field=info._field)
