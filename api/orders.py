"""Orders: an input type for every entity, and the order of rows that it means.

Rows without a value come last in either direction unless asked otherwise, on every
database; the key comes at the end of every order, so that pages never overlap.
"""

from typing import Any

import strawberry
from django.db.models import F, OrderBy
from strawberry_django import Ordering

from .catalog import Catalog, Entity
from .errors import RequestRefused

MAX_ORDERS = 10


def order_class(entity: Entity, catalog: Catalog, module: str) -> type:
    """The input type that orders an entity's rows, one column in each."""
    annotations: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for column in entity.columns:
        if column.is_sortable:
            annotations[column.attname] = Ordering | None
            fields[column.attname] = strawberry.field(name=column.name, default=strawberry.UNSET)
    for relation in entity.relations:
        if not relation.is_list:
            annotations[relation.attribute] = f"{catalog[relation.target].names.order} | None"
            fields[relation.attribute] = strawberry.field(
                name=relation.name, default=strawberry.UNSET
            )
    made = type(
        entity.names.order, (), {**fields, "__annotations__": annotations, "__module__": module}
    )
    return strawberry.input(
        made,
        name=entity.names.order,
        one_of=True,
        description=f"What to order {entity.names.many} by; a list of these is applied in turn.",
    )


def order_by(entity: Entity, catalog: Catalog, given: list[Any] | None) -> list[OrderBy]:
    """The order of rows: what is asked for, then the key."""
    if given and len(given) > MAX_ORDERS:
        raise RequestRefused(f"order has {len(given)} parts; it takes at most {MAX_ORDERS}.")
    found = [_one(entity, catalog, one) for one in given or ()]
    return [*found, *(F(attname).asc() for attname in entity.key)]


def _one(
    entity: Entity, catalog: Catalog, given: Any, path: str = "", is_nullable: bool = False
) -> OrderBy:
    for column in entity.columns:
        if column.is_sortable and (asked := getattr(given, column.attname)):
            return _direction(f"{path}{column.attname}", asked, is_nullable or column.is_nullable)
    for relation in entity.relations:
        if not relation.is_list and (nested := getattr(given, relation.attribute)):
            return _one(
                catalog[relation.target],
                catalog,
                nested,
                f"{path}{relation.lookup}__",
                is_nullable or relation.is_nullable,
            )
    raise RequestRefused(f"An order names the field to order {entity.names.many} by; got none.")


def _direction(path: str, asked: Ordering, is_nullable: bool) -> OrderBy:
    expression = F(path).desc if asked.name.startswith("DESC") else F(path).asc
    if not is_nullable:
        return expression()
    if asked.name.endswith("NULLS_FIRST"):
        return expression(nulls_first=True)
    return expression(nulls_last=True)
