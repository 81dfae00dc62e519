"""Cursors: a row's place in an order, as opaque text; and the rows beyond such a place.

A cursor is base64 of a JSON array: a version, the digest of the order it belongs to, and the
row's value of each ordered column. The key ends every order, so a place is one row's alone.
"""

import base64
import binascii
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, FloatField, OrderBy, Q
from django.db.models.functions import Cast
from django.db.models.lookups import (
    Exact,
    GreaterThan,
    GreaterThanOrEqual,
    IsNull,
    LessThan,
    LessThanOrEqual,
)

from ..catalog import Catalog, Entity
from ..errors import RequestRefused
from ..orders import order_by

_VERSION = 1
_LONGEST = 20_000
Parameter = Callable[[int], Any]
"""The expression for a cursor's value at a position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One column of an order, as its database compares it."""

    path: str
    field: "models.Field[Any, Any]"
    """What reads and prepares its values."""
    is_descending: bool
    is_nullable: bool
    has_nulls_first: bool
    is_cast: bool

    def expression(self) -> Any:
        """The column; a new object each time, since Django resolves it in place."""
        return Cast(F(self.path), FloatField()) if self.is_cast else F(self.path)

    def order(self, *, backward: bool = False) -> OrderBy:
        """The order by it, or the opposite one."""
        nulls = {}
        if self.is_nullable:
            first = self.has_nulls_first is not backward
            nulls = {"nulls_first": True} if first else {"nulls_last": True}
        return OrderBy(self.expression(), descending=self.is_descending is not backward, **nulls)


def terms_of(
    entity: Entity, catalog: Catalog, asked: list[Any] | None, vendor: str
) -> tuple[Term, ...]:
    """The columns of an order, the key at its end. Raises `RequestRefused`."""
    return tuple(_term(entity, one, vendor) for one in order_by(entity, catalog, asked))


def _term(entity: Entity, order: OrderBy, vendor: str) -> Term:
    column: Any = order.expression
    path: str = column.name
    field: Any = _field(entity.model, path)
    # SQLite keeps decimals as doubles, and Django reads them back with 15 digits only.
    is_cast = vendor == "sqlite" and isinstance(field, models.DecimalField)
    return Term(
        path=path,
        field=FloatField() if is_cast else field,
        is_descending=order.descending,
        is_nullable=bool(order.nulls_first or order.nulls_last),
        has_nulls_first=bool(order.nulls_first),
        is_cast=is_cast,
    )


def _field(model: Any, path: str) -> Any:
    for name in path.split("__"):
        field = model._meta.get_field(name)
        model = field.related_model
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    return field


def encode(entity: Entity, terms: Sequence[Term], values: Sequence[Any]) -> str:
    """The cursor of a row with these values of the order's columns."""
    return pack(_order(entity, terms), values)


def pack(order: object, values: Sequence[Any]) -> str:
    """The cursor of a place with these values, in an order that is told by its `repr`."""
    shown = [_VERSION, _digest(order), *map(_shown, values)]
    text = json.dumps(shown, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(entity: Entity, terms: Sequence[Term], cursor: str) -> list[Any]:
    """The values that a cursor holds. Raises `RequestRefused` for one of anything else."""
    values = unpack(cursor, _order(entity, terms), entity.names.many)
    try:
        return [_read(term, value) for term, value in zip(terms, values, strict=True)]
    except (ValidationError, ValueError, TypeError, OverflowError):
        raise _refused(cursor, "is no cursor of this server") from None


def unpack(cursor: str, order: object, what: str) -> list[Any]:
    """The values of a cursor as JSON holds them; `what` is what is walked, for the error.

    Raises `RequestRefused` for a cursor of anything else.
    """
    try:
        if len(cursor) > _LONGEST:
            raise ValueError
        found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(found, list) or len(found) < 2:
            raise ValueError
    except (ValueError, binascii.Error, RecursionError):
        raise _refused(cursor, "is no cursor of this server") from None
    version, digest, *values = found
    if version != _VERSION:
        raise _refused(cursor, "was made by another version of this server")
    if digest != _digest(order):
        raise _refused(cursor, f"belongs to another list or order than this of {what}")
    return list(values)


def beyond(
    terms: Sequence[Term], nulls: Sequence[bool], parameter: Parameter, *, backward: bool = False
) -> Q:
    """The rows after a place in the order, or before it; `nulls` says which values are null."""
    branches, equal = [], Q()
    for position, term in enumerate(terms):
        after = _after(term, nulls[position], parameter, position, backward)
        if after is not None:
            branches.append(equal & after)
        equal &= Q(_same(term, nulls[position], parameter, position))
    found = branches[-1]
    for branch in reversed(branches[:-1]):
        found = branch | found
    first = terms[0]
    if len(terms) > 1 and not nulls[0] and not first.is_nullable:
        # Implied by the rest; an index finds where to begin by it.
        is_less = first.is_descending is not backward
        bound = LessThanOrEqual if is_less else GreaterThanOrEqual
        return Q(bound(first.expression(), parameter(0))) & found
    return found


def _after(
    term: Term, is_null: bool, parameter: Parameter, position: int, backward: bool
) -> Q | None:
    nulls_first = term.has_nulls_first is not backward
    if is_null:
        return Q(IsNull(term.expression(), False)) if nulls_first else None
    compare = LessThan if term.is_descending is not backward else GreaterThan
    found = Q(compare(term.expression(), parameter(position)))
    if term.is_nullable and not nulls_first:
        found |= Q(IsNull(term.expression(), True))
    return found


def _same(term: Term, is_null: bool, parameter: Parameter, position: int) -> Any:
    if is_null:
        return IsNull(term.expression(), True)
    return Exact(term.expression(), parameter(position))


def _order(entity: Entity, terms: Sequence[Term]) -> object:
    order = [(term.path, term.is_descending, term.has_nulls_first) for term in terms]
    return entity.names.type, order


def _digest(order: object) -> str:
    return hashlib.sha256(repr(order).encode()).hexdigest()[:10]


def _shown(value: Any) -> Any:
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | UUID) else value


def _read(term: Term, value: Any) -> Any:
    if value is None:
        if not term.is_nullable:
            raise ValueError
        return None
    if isinstance(value, list | dict) or (isinstance(value, str) and "\0" in value):
        raise ValueError
    read = term.field.to_python(value)
    if isinstance(read, dt.datetime) and read.tzinfo is None:
        raise ValueError
    if isinstance(read, int) and not -(1 << 63) <= read < 1 << 63:
        raise ValueError
    return read


def _refused(cursor: str, problem: str) -> RequestRefused:
    shown = cursor if len(cursor) <= 40 else f"{cursor[:40]}…"
    return RequestRefused(
        f"The cursor {shown!r} {problem}. Pass an endCursor or startCursor back with the order "
        "it came from, or leave it out to begin again."
    )
