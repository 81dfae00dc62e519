"""Ordinary execution: Django's ORM, one statement for each level of an operation.

A list's related rows are loaded for all its rows together, whatever the aliases and
arguments. Rows are model instances with the selected columns only. The catalog and the
inputs know nothing of this module: another way of executing may stand in its place.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import Count, F, Model, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from graphql.pyutils import Path
from strawberry import Info
from strawberry.types.nodes import FragmentSpread, InlineFragment, SelectedField
from strawberry_django.optimizer import OptimizerConfig, optimize

from .catalog import LINEAGE_COLUMN, Catalog, Entity, Relation
from .filters import is_storable, where
from .operation import Operation, current
from .orders import order_by
from .pages import bounds
from .unloaded import read

Rows = QuerySet[Model]
Resolver = Callable[..., Any]

# Databases bound the parameters of one statement; SQLite at 32,766.
_KEYS_PER_STATEMENT = 10_000
_PARENT = "rootcellar_parent"
_POSITION = "rootcellar_position"


class Resolvers:
    """Makes the resolvers of a catalog's fields.

    `replaced` names the models whose type a source wrote itself: their rows are loaded
    whole, with the hints (annotate, prefetch_related) of strawberry-django's fields.
    """

    def __init__(self, catalog: Catalog, replaced: frozenset[type[Model]]) -> None:
        self.catalog = catalog
        self._replaced = replaced

    def many(self, entity: Entity) -> Resolver:
        """A page of an entity's rows."""

        async def resolve(info: Info, **asked: Any) -> list[Model]:
            rows, operation = self.rows(entity, info), current()
            condition, order, (offset, limit) = self._read(entity, asked)

            chosen = rows.filter(condition).order_by(*order)[offset : offset + limit]
            nothing: list[Model] = []
            found = await sync_to_async(read)(entity, lambda: list(chosen), nothing)
            operation.spend(len(found))
            return found

        return resolve

    def count(self, entity: Entity) -> Resolver:
        """How many rows of an entity a filter means."""

        async def resolve(**asked: Any) -> int:
            rows = self.chosen(entity, asked)
            return await sync_to_async(read)(entity, rows.count, 0)

        return resolve

    def one(self, entity: Entity) -> Resolver:
        """The row with a key, or null."""

        async def resolve(info: Info, **key: Any) -> Model | None:
            if not all(map(is_storable, key.values())):
                return None
            rows = self.rows(entity, info).filter(**key)[:1]
            found = await sync_to_async(lambda: list(rows))()
            current().spend(len(found))
            return found[0] if found else None

        return resolve

    def to_one(self, relation: Relation) -> Resolver:
        """The one row a relation leads to, or null."""
        target = self.catalog[relation.target]

        def resolve(root: Any, info: Info) -> Awaitable[Model | None] | None:
            key = getattr(root, relation.own)
            if key is None:
                return None
            operation = current()
            operation.spend(1)

            def batch() -> Callable[[list[Any]], list[Model | None]]:
                rows = self.rows(target, info, relation.back)
                return lambda keys: _fetch_ones(rows, relation, keys)

            return operation.load(_place(info), key, batch)

        return resolve

    def to_many(self, relation: Relation) -> Resolver:
        """A page of the rows a relation leads to, from each of the parents."""
        target = self.catalog[relation.target]

        async def resolve(root: Any, info: Info, **asked: Any) -> list[Model]:
            operation, key = current(), getattr(root, relation.own)
            if key is None:
                return []

            def batch() -> Callable[[list[Any]], list[list[Model]]]:
                rows = self.rows(target, info)
                condition, order, page = self._read(target, asked)
                rows = rows.filter(condition)
                return lambda keys: _fetch_lists(rows, relation, order, page, keys, operation)

            found: list[Model] = await operation.load(_place(info), key, batch)
            operation.spend(len(found))
            return found

        return resolve

    def to_count(self, relation: Relation) -> Resolver:
        """How many rows a relation leads to, from each of the parents."""
        target = self.catalog[relation.target]

        def resolve(root: Any, info: Info, **asked: Any) -> Awaitable[int]:
            def batch() -> Callable[[list[Any]], list[int]]:
                rows = self.chosen(target, asked)
                return lambda keys: _fetch_counts(rows, relation, keys)

            return current().load(_place(info), getattr(root, relation.own), batch)

        return resolve

    def chosen(self, entity: Entity, asked: dict[str, Any]) -> Rows:
        """The rows that a filter means, to be counted."""
        return entity.model._base_manager.filter(self.where(entity, asked))

    def where(self, entity: Entity, asked: dict[str, Any]) -> Q:
        """The condition that a field's filter means."""
        return where(entity, self.catalog, asked.get("filters"))

    def _read(self, entity: Entity, asked: dict[str, Any]) -> tuple[Q, list[Any], tuple[int, int]]:
        order = order_by(entity, self.catalog, asked.get("order"))
        return self.where(entity, asked), order, bounds(asked.get("pagination"))

    def rows(self, entity: Entity, info: Info, *also: str) -> Rows:
        """All rows of an entity, with the columns that the selection needs."""
        rows = entity.model._base_manager.all()
        if entity.model in self._replaced:
            return optimize(rows, info, config=OptimizerConfig(enable_only=False))
        return rows.only(*_columns(entity, info), *also)


def _columns(entity: Entity, info: Info) -> set[str]:
    needs = {column.name: column.attname for column in entity.columns}
    for relation in entity.relations:
        needs[relation.name] = needs[f"{relation.name}Count"] = relation.own
    if entity.has_lineage:
        needs["payload"] = LINEAGE_COLUMN
    selected = (name for one in info.selected_fields for name in _names(one.selections))
    return {*entity.key, *(needs[name] for name in selected if name in needs)}


def _names(selections: Iterable[SelectedField | FragmentSpread | InlineFragment]) -> Iterator[str]:
    for one in selections:
        if isinstance(one, SelectedField):
            yield one.name
        else:
            yield from _names(one.selections)


def _place(info: Info) -> tuple[str, ...]:
    """Where in the answer a field stands, whatever the row: `("stations", "quakes")`."""
    names = []
    path: Path | None = info.path
    while path is not None:
        if isinstance(path.key, str):
            names.append(path.key)
        path = path.prev
    return tuple(names)


def _chunks(keys: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(keys), _KEYS_PER_STATEMENT):
        yield keys[start : start + _KEYS_PER_STATEMENT]


def _fetch_ones(rows: Rows, relation: Relation, keys: list[Any]) -> list[Model | None]:
    found: dict[Any, Model] = {}
    for some in _chunks(keys):
        chosen = rows.filter(**{f"{relation.back}__in": some})
        found |= {getattr(row, relation.back): row for row in chosen}
    return [found.get(key) for key in keys]


def _fetch_lists(
    rows: Rows,
    relation: Relation,
    order: list[Any],
    page: tuple[int, int],
    keys: list[Any],
    operation: Operation,
) -> list[list[Model]]:
    offset, limit = page
    if len(keys) == 1:
        # An index gives the page of one parent; numbering would read all its rows.
        chosen = rows.filter(**{relation.back: keys[0]}).order_by(*order)
        return [list(chosen[offset : offset + limit])]
    found: defaultdict[Any, list[Model]] = defaultdict(list)
    # A row stands in the answer at least once: reading one too many is enough to refuse.
    readable = operation.rows_left + 1
    for some in _chunks(keys):
        chosen = rows.filter(**{f"{relation.back}__in": some})
        position = Window(RowNumber(), partition_by=[F(relation.back)], order_by=order)
        chosen = chosen.annotate(**{_PARENT: F(relation.back), _POSITION: position})
        chosen = chosen.filter(
            **{f"{_POSITION}__gt": offset, f"{_POSITION}__lte": offset + limit}
        ).order_by(_POSITION)
        for row in chosen[: max(readable, 0)]:
            readable -= 1
            found[getattr(row, _PARENT)].append(row)
    return [found[key] for key in keys]


def _fetch_counts(rows: Rows, relation: Relation, keys: list[Any]) -> list[int]:
    found: dict[Any, int] = {}
    for some in _chunks(keys):
        counted = rows.filter(**{f"{relation.back}__in": some}).values_list(relation.back)
        found |= dict(counted.annotate(row_count=Count("*")).order_by())
    return [found.get(key, 0) for key in keys]
