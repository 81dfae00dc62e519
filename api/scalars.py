"""The scalars of the schema, and which one a model's field is shown as.

A scalar loses no digit on its way through JSON: GraphQL's own Int has 32 bits,
and a JSON number is a double in many clients.
"""

import datetime as dt
import re
from decimal import Decimal, InvalidOperation
from typing import Any, NewType
from uuid import UUID

import strawberry
from django.db import models
from django.utils.dateparse import parse_datetime
from strawberry.exceptions import StrawberryInputCoercionError
from strawberry.scalars import JSON, Base64
from strawberry.types.scalar import ScalarDefinition

from .errors import SchemaError

BigInt = NewType("BigInt", int)
SAFE_INTEGERS = range(-(2**53) + 1, 2**53)
"""Those that every client reads without rounding."""


def _refuse(value: object, expected: str) -> StrawberryInputCoercionError:
    return StrawberryInputCoercionError(f"{value!r} is not {expected}.")


def _write_integer(value: int) -> int | str:
    return value if value in SAFE_INTEGERS else str(value)


def _read_integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _refuse(value, "a whole number, or a string of its digits")
    if isinstance(value, str) and not re.fullmatch(r"[+-]?[0-9]{1,40}", value):
        raise _refuse(value, "a whole number, or a string of its digits")
    return int(value)


def _write_decimal(value: Decimal | int | float) -> str:
    return format(value if isinstance(value, Decimal) else Decimal(str(value)), "f")


def _read_decimal(value: object) -> Decimal:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise InvalidOperation
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > 1000:
        raise _refuse(value, 'a decimal number such as "4.50"')
    return number


def _read_datetime(value: object) -> dt.datetime:
    expected = "a moment such as 2026-01-31T12:00:00Z"
    try:
        moment = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise _refuse(value, expected)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    try:
        moment.astimezone(dt.UTC)
    except OverflowError:
        raise _refuse(value, "a moment of the years 1 to 9999 in UTC") from None
    return moment


def _read_time(value: object) -> dt.time:
    try:
        time = dt.time.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        time = None
    # SQLite keeps none with an offset, and PostgreSQL would compare by one that changes.
    if time is None or time.tzinfo is not None:
        raise _refuse(value, "a time of day without an offset, such as 06:30:00")
    return time


def scalar_map() -> dict[object, ScalarDefinition]:
    """The scalars that differ from strawberry's, by Python type."""
    return {
        BigInt: strawberry.scalar(
            name="BigInt",
            description="A whole number of any size. Written as a JSON number up to 2^53 - 1, "
            "as a string beyond, where a double would round it. Either is read.",
            serialize=_write_integer,
            parse_value=_read_integer,
        ),
        Decimal: strawberry.scalar(
            name="Decimal",
            description="An exact decimal number, written as a string. Numbers are read too.",
            serialize=_write_decimal,
            parse_value=_read_decimal,
        ),
        dt.datetime: strawberry.scalar(
            name="DateTime",
            description="A moment in ISO 8601; one without an offset is read as UTC.",
            serialize=dt.datetime.isoformat,
            parse_value=_read_datetime,
        ),
        dt.time: strawberry.scalar(
            name="Time",
            description="A time of day in ISO 8601, without an offset.",
            serialize=dt.time.isoformat,
            parse_value=_read_time,
        ),
    }


# By Django field class; the most derived class that is listed counts.
_SCALARS: "dict[type[models.Field[Any, Any]], Any]" = {
    models.BigIntegerField: BigInt,
    models.BigAutoField: BigInt,
    models.IntegerField: int,
    models.AutoField: int,
    models.BooleanField: bool,
    models.CharField: str,
    models.TextField: str,
    models.GenericIPAddressField: str,
    models.FloatField: float,
    models.DecimalField: Decimal,
    models.DateField: dt.date,
    models.DateTimeField: dt.datetime,
    models.TimeField: dt.time,
    models.UUIDField: UUID,
    models.JSONField: JSON,
    models.BinaryField: Base64,
}


def scalar_of(field: "models.Field[Any, Any]") -> Any:
    """The Python type whose scalar shows this field; a foreign key is shown as what it points to.

    Raises `SchemaError` for a kind of field that no scalar can show.
    """
    target: Any = field
    while isinstance(target, models.ForeignKey):
        target = target.target_field
    if isinstance(target, models.GeneratedField):
        target = target.output_field
    for kind in type(target).__mro__:
        if kind in _SCALARS:
            return _SCALARS[kind]
    raise SchemaError(
        f"{field.model._meta.label}.{field.name} is a {type(target).__name__}, which no GraphQL "
        f"scalar shows. Known kinds: {', '.join(sorted(kind.__name__ for kind in _SCALARS))}."
    )
