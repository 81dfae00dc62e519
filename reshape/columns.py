"""The columns of a model: how each Django field is typed in Arrow and what it accepts.

A transform's values are converted strictly: what would need a guess is refused,
so that a surprise in the payload becomes a quarantine entry and not a wrong number.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import cache
from typing import Any
from uuid import UUID

import pyarrow as pa
from django.db import models

from raw_store.errors import closest_first

from .errors import RowInvalid
from .json_text import json_text

Convert = Callable[[Any], Any]
"""Returns the value as Arrow takes it, or raises `ValueError` saying what was expected."""


class FieldUnsupported(Exception):
    """A field that a derived model cannot have."""


GIVEN = "_given"
"""The column of record files that says which columns a record gives: a 1 or a 0 for each of
`Columns.given`, as text. Only models with `merge = "fields"` have it."""


class _Required:
    """Stands where a column has no default. Fingerprints hold its text, so that is fixed."""

    def __repr__(self) -> str:
        return "required"


_REQUIRED = _Required()


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a model's table."""

    name: str
    """The database column: for a foreign key `station_id`."""
    field: "models.Field[Any, Any]"
    arrow: pa.DataType
    convert: Convert
    nullable: bool
    default: Any
    """What a row that does not give the column gets; `_REQUIRED` when it must."""

    @property
    def is_required(self) -> bool:
        """Whether every row must give it."""
        return self.default is _REQUIRED


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one model, in the order of its fields; `fetch_id` is among them."""

    model: type[models.Model]
    given: tuple[Column, ...]
    """The columns a transform gives; lists of many-to-many fields come last."""
    names: frozenset[str]
    key: tuple[str, ...]
    """The primary key's columns: the natural key."""
    schema: pa.Schema
    """Every column of the table, `fetch_id` included, as Arrow."""
    merges_fields: bool = False
    """Whether a record says which columns it gives (`merge = "fields"`)."""

    def convert(self, values: Mapping[str, Any]) -> list[Any]:
        """Return `values` in column order, or raise `RowInvalid` naming field and value.

        Where the model merges fields, which of them are given follows as the last value.
        """
        row: list[Any] = []
        used = 0
        for column in self.given:
            value = values.get(column.name, _REQUIRED)
            if value is _REQUIRED:
                value = column.default
                if value is _REQUIRED:
                    if not self.merges_fields or column.name in self.key:
                        raise self._missing(column, values)
                    value = None
            else:
                used += 1
                if value is not None:
                    try:
                        value = column.convert(value)
                    except (ValueError, TypeError, OverflowError) as error:
                        raise self._wrong(column, value, error) from None
                elif not column.nullable:
                    raise self._wrong(column, None, "it must not be null")
            row.append(value)
        if used != len(values):
            raise self._unknown(values)
        if self.merges_fields:
            row.append("".join("1" if c.name in values else "0" for c in self.given))
        return row

    def _wrong(self, column: Column, value: Any, why: object) -> RowInvalid:
        return self._invalid(f"{column.name}={shown(value)}: {why}", column.name, value)

    def _missing(self, column: Column, values: Mapping[str, Any]) -> RowInvalid:
        given = ", ".join(f"{name}={shown(value)}" for name, value in list(values.items())[:4])
        return self._invalid(f"{column.name} is missing from the row ({given})", column.name, None)

    def _unknown(self, values: Mapping[str, Any]) -> RowInvalid:
        name = next(name for name in values if name not in self.names)
        near = ", ".join(closest_first(name, self.names)[:3])
        return self._invalid(
            f"{name}={shown(values[name])}: there is no such column; the closest are {near}",
            name,
            values[name],
        )

    def _invalid(self, problem: str, field: str, value: Any) -> RowInvalid:
        label = self.model.__name__
        return RowInvalid(
            f"{label}.{problem}.",
            model=label,
            field=field,
            value="" if value is None else shown(value),
        )


@cache
def columns_of(model: type[models.Model]) -> Columns:
    """Return the columns of a model. Raises `FieldUnsupported` for a field no column can hold."""
    from .lists import list_column, list_fields

    every = [column_for(field) for field in model._meta.concrete_fields]
    given = tuple(column for column in every if column.name != "fetch_id" or _owns_fetch_id(model))
    given += tuple(list_column(field) for field in list_fields(model))
    return Columns(
        model=model,
        given=given,
        names=frozenset(column.name for column in given),
        key=tuple(str(field.column) for field in key_fields(model)),
        schema=pa.schema([pa.field(c.name, c.arrow, nullable=c.nullable) for c in every]),
        merges_fields=getattr(model, "merge", "row") == "fields",
    )


def key_fields(model: type[models.Model]) -> "list[models.Field[Any, Any]]":
    """The fields of the primary key, one or, for a composite key, several."""
    return list(model._meta.pk_fields)


def _owns_fetch_id(model: type[models.Model]) -> bool:
    from .models import Derived

    return not issubclass(model, Derived)


def column_for(field: "models.Field[Any, Any]") -> Column:
    """The column of a field of the table. Raises `FieldUnsupported`."""
    arrow, convert = _typed(field)
    default: Any = _REQUIRED
    if field.has_default():
        default = field.get_default()
        if default is not None:
            default = convert(default)
    elif field.null:
        default = None
    elif field.blank and field.empty_strings_allowed:
        default = ""
    assert field.column is not None
    return Column(field.column, field, arrow, convert, field.null, default)


def _typed(field: "models.Field[Any, Any]") -> tuple[pa.DataType, Convert]:
    if isinstance(field, models.ForeignKey):
        return _typed(field.target_field)
    if isinstance(field, models.DecimalField):
        digits, places = field.max_digits, field.decimal_places
        assert digits is not None
        assert places is not None
        return pa.decimal128(digits, places), _decimal(digits, places)
    for kinds, arrow, convert in _BY_FIELD:
        if isinstance(field, kinds):
            return arrow, convert
    if isinstance(field, models.CharField | models.TextField):
        return pa.string(), _text(field.max_length)
    for kind, (bits, arrow) in _INTEGERS.items():
        if isinstance(field, kind):
            return arrow, _integer(least_of(field), (1 << bits - 1) - 1)
    raise FieldUnsupported(
        f"{field.model.__name__}.{field.name} is a {type(field).__name__}, which no derived model "
        f"can have. Use one of Django's text, number, date, time, UUID, JSON or binary fields."
    )


def least_of(field: "models.Field[Any, Any]") -> int:
    """The least whole number that an integer field holds."""
    if isinstance(field, _POSITIVE):
        return 0
    bits = next(bits for kind, (bits, _) in _INTEGERS.items() if isinstance(field, kind))
    return -(1 << bits - 1)


def shown(value: Any) -> str:
    """A value for a message: as Python writes it, not endless."""
    try:
        text = repr(value)
    except RecursionError:
        return f"a {type(value).__name__} that nests too deep to be shown"
    return text if len(text) <= 100 else f"{text[:97]}…"


def _is(value: Any, kind: str) -> ValueError:
    return ValueError(f"it is {type(value).__name__}, not {kind}")


def _text(max_length: int | None) -> Convert:
    def convert(value: Any) -> str:
        if not isinstance(value, str):
            raise _is(value, "text")
        if max_length is not None and len(value) > max_length:
            raise ValueError(f"it is {len(value)} characters long; the field holds {max_length}")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError("it holds half of a surrogate pair, which is no text") from None
        if "\x00" in value:
            raise ValueError("it holds a NUL character, which databases refuse")
        return value

    return convert


def _integer(low: int, high: int) -> Convert:
    def convert(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _is(value, "a whole number")
        if not low <= value <= high:
            raise ValueError(f"it is not between {low} and {high}, which the field holds")
        return value

    return convert


def _decimal(digits: int, places: int) -> Convert:
    step = Decimal(1).scaleb(-places)
    exact = Context(prec=digits, traps=[InvalidOperation, Inexact])

    def convert(value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
            raise _is(value, "a decimal (give it as text or Decimal)")
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise ValueError("it is text that is not a decimal number") from None
        if not number.is_finite():
            raise ValueError("it is not a finite number")
        try:
            return number.quantize(step, context=exact)
        except Inexact:
            needed = _places_of(number)
            raise ValueError(f"it has {needed} decimal places; the field holds {places}") from None
        except InvalidOperation:
            raise ValueError(
                f"it has more than {digits - places} digits before the point"
            ) from None

    return convert


def _places_of(number: Decimal) -> int:
    """How many digits after the point a number other than zero has, up to the last that counts."""
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    zeros = next(at for at, digit in enumerate(reversed(digits)) if digit)
    return -exponent - zeros


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _is(value, "a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("it is not a finite number")
    return number


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _is(value, "true or false")
    return value


def _datetime(value: Any) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("it is text that is not an ISO 8601 time") from None
    if not isinstance(value, datetime):
        raise _is(value, "a time")
    if value.tzinfo is None:
        raise ValueError("it is a time without a zone; say which, for example tzinfo=UTC")
    return value.astimezone(UTC)


def _date(value: Any) -> date:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError("it is text that is not an ISO 8601 date") from None
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _is(value, "a date")
    return value


def _time(value: Any) -> time:
    if isinstance(value, str):
        value = time.fromisoformat(value)
    if not isinstance(value, time):
        raise _is(value, "a time of day")
    if value.tzinfo is not None:
        raise ValueError("it is a time of day with a zone, which databases do not hold")
    return value


def _uuid(value: Any) -> str:
    if isinstance(value, str):
        value = UUID(value)
    if not isinstance(value, UUID):
        raise _is(value, "a UUID")
    return str(value)


def _binary(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise _is(value, "bytes")
    return value


_Kinds = type | tuple[type, ...]
_BY_FIELD: tuple[tuple[_Kinds, pa.DataType, Convert], ...] = (
    (models.FloatField, pa.float64(), _float),
    (models.BooleanField, pa.bool_(), _boolean),
    (models.DateTimeField, pa.timestamp("us", tz="UTC"), _datetime),
    (models.DateField, pa.date32(), _date),
    (models.TimeField, pa.time64("us"), _time),
    (models.UUIDField, pa.string(), _uuid),
    (models.JSONField, pa.string(), json_text),
    (models.BinaryField, pa.binary(), _binary),
)
# A subclass comes before its parent: the other integer fields are IntegerFields.
_INTEGERS: dict[type, tuple[int, pa.DataType]] = {
    models.BigIntegerField: (64, pa.int64()),
    models.PositiveBigIntegerField: (64, pa.int64()),
    models.SmallIntegerField: (16, pa.int16()),
    models.IntegerField: (32, pa.int32()),
}
_POSITIVE = (
    models.PositiveBigIntegerField,
    models.PositiveIntegerField,
    models.PositiveSmallIntegerField,
)
