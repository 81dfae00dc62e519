"""The GraphQL types of an entity's connection, in the shape that Relay's clients know."""

import strawberry
from strawberry.types.field import StrawberryField

from ..catalog import Entity
from ..meanings import ConnectedRows
from ..pages import DEFAULT_LIMIT, MAX_LIMIT
from ..types import TypeMaker
from .counts import DEFAULT_BOUND, Count, CountMode
from .resolve import ConnectionResolvers, resolve_count, resolve_total

_PAGE = f"at most {MAX_LIMIT}, {DEFAULT_LIMIT} unless asked otherwise"


@strawberry.type(description="Where a page of a connection begins and ends.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether rows come after this page.")
    has_previous_page: bool = strawberry.field(
        description="Whether rows come before this page: where it begins after a cursor, "
        "the cursor's row did."
    )
    start_cursor: str | None = strawberry.field(description="Of the first row; null without rows.")
    end_cursor: str | None = strawberry.field(description="Of the last row; null without rows.")


def connection_type(maker: TypeMaker, entity: Entity, module: str) -> None:
    """Make an entity's connection and edge types, and offer them by name."""
    names = entity.names
    _make(
        maker,
        names.edge_type,
        module,
        f"A row among {names.many}, and its place.",
        [
            maker.field("cursor", str, python_name="cursor", description="Its place in the order."),
            maker.field("node", names.type, python_name="node"),
        ],
    )
    counting = [
        maker.argument("mode", CountMode, default=CountMode.EXACT),
        maker.argument("up_to", int, name="upTo", default=DEFAULT_BOUND),
    ]
    _make(
        maker,
        names.connection_type,
        module,
        f"A page of {names.many}, and how to go on from it.",
        [
            maker.field("edges", f"list[{names.edge_type}]", python_name="edges"),
            maker.field("nodes", f"list[{names.type}]", python_name="nodes"),
            maker.field("pageInfo", PageInfo, python_name="page_info"),
            maker.field(
                "totalCount",
                int,
                resolve_total,
                description="How many there are on all pages, counted.",
            ),
            maker.field(
                "count",
                Count,
                resolve_count,
                counting,
                description="How many there are on all pages, counted as you ask.",
            ),
        ],
    )


def connection_root(
    maker: TypeMaker, entity: Entity, resolvers: ConnectionResolvers
) -> StrawberryField:
    """The field of `Query` that gives an entity's rows by cursor."""
    names = entity.names
    return maker.field(
        names.connection,
        names.connection_type,
        resolvers.connection(entity),
        [
            *maker.list_arguments(entity)[:2],
            maker.argument("first", int | None),
            maker.argument("after", str | None),
            maker.argument("last", int | None),
            maker.argument("before", str | None),
        ],
        description=f"{names.many} by cursor: pages ({_PAGE}) that stay apart while rows are "
        "loaded.",
        meaning=ConnectedRows(entity),
    )


def _make(
    maker: TypeMaker, name: str, module: str, description: str, fields: list[StrawberryField]
) -> None:
    attributes = {field.python_name: field for field in fields}
    made = type(name, (), {**attributes, "__module__": module})
    maker.offer(name, strawberry.type(made, name=name, description=description))
