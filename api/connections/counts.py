"""How many rows there are: exactly, up to a bound, or about.

Counting reads every row, or every entry of an index. A client that shows "more than 10,000"
or "about 2 million" need not wait for that.
"""

import enum
import json
from collections.abc import Mapping
from typing import Any

import strawberry
from django.db import connections
from django.db.models import QuerySet

from reshape.models import ModelState

from ..catalog import Entity
from ..errors import RequestRefused
from ..scalars import BigInt

DEFAULT_BOUND = 10_000
_LARGEST_BOUND = 10_000_000


@strawberry.enum(description="How exactly to count.")
class CountMode(enum.Enum):
    EXACT = strawberry.enum_value("EXACT", description="Every row.")
    CAPPED = strawberry.enum_value(
        "CAPPED", description="Rows up to `upTo`; beyond it counting ends."
    )
    ESTIMATE = strawberry.enum_value(
        "ESTIMATE",
        description="Without filters, the number after the last load; with filters, what the "
        "database's planner expects. Where neither is known it is counted.",
    )


@strawberry.type(description="How many rows there are.")
class Count:
    value: BigInt
    is_exact: bool = strawberry.field(
        description="Whether there are just so many: false for an estimate, "
        "and where counting ended at `upTo`."
    )
    mode: CountMode = strawberry.field(description="How it was counted.")


def check_bound(bound: int) -> int:
    """The bound of a capped count; raises `RequestRefused` for one that makes no sense."""
    if not 1 <= bound <= _LARGEST_BOUND:
        raise RequestRefused(f"upTo is {bound}; it is from 1 to {_LARGEST_BOUND}.")
    return bound


def capped(found: int, bound: int) -> Count:
    """The count of which `found` rows, one more than `bound` at most, were counted."""
    return Count(value=BigInt(min(found, bound)), is_exact=found <= bound, mode=CountMode.CAPPED)


def exact(found: int) -> Count:
    """A count of every row."""
    return Count(value=BigInt(found), is_exact=True, mode=CountMode.EXACT)


def count(
    entity: Entity, rows: QuerySet[Any], mode: CountMode, bound: int, *, is_filtered: bool
) -> Count:
    """Count rows of an entity in one of the ways."""
    if mode is CountMode.CAPPED:
        return capped(rows.order_by()[: check_bound(bound) + 1].count(), bound)
    if mode is CountMode.ESTIMATE:
        about = _expected(rows) if is_filtered else _loaded(entity, rows.db)
        if about is not None:
            return Count(value=BigInt(about), is_exact=False, mode=mode)
    return exact(rows.count())


def _loaded(entity: Entity, alias: str) -> int | None:
    """The number of rows that the last load left."""
    state = ModelState.objects.using(alias).filter(table=entity.model._meta.db_table)
    return state.values_list("row_count", flat=True).first()


def _expected(rows: QuerySet[Any]) -> int | None:
    """The number of rows that PostgreSQL's planner expects; SQLite's does not tell."""
    if connections[rows.db].vendor != "postgresql":
        return None
    plan: Any = json.loads(rows.order_by().values("pk").explain(format="JSON"))
    nodes: Mapping[str, Any] = plan[0]["Plan"]
    return int(nodes["Plan Rows"])
