"""Values of a column, many at once, as Arrow: what `Columns.convert` does one by one.

A column that holds only the plain types its field takes is checked and converted by Arrow.
Any other goes through the field's own conversion, value by value. Both give the same array,
and both refuse the same values.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime, timezone
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from django.db import models

from .columns import Column, least_of

Plain = Callable[[Sequence[Any], set[type]], pa.Array | None]
"""The array of values of these types (null left out); None where they are no plain case."""

_NULL = type(None)
_LONG_AGO, _FAR_OFF = date(1, 1, 2), date(9999, 12, 30)
_TIME = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?(Z|[+-](0\d|1\d|2[0-3]):[0-5]\d)$"
_DATE = r"^\d{4}-\d\d-\d\d$"
_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


class Refused(Exception):
    """Some of the values are none that the column takes; `Columns.convert` says which and why."""


def as_array(column: Column, values: Sequence[Any]) -> pa.Array:
    """The values as an array of the column's type. Raises `Refused`.

    JSON values come as the text that `json_text` gives.
    """
    types = set(map(type, values))
    if _NULL in types and not column.nullable:
        raise Refused(column.name)
    types.discard(_NULL)
    try:
        array = _plain_of(column)(values, types) if types else None
        if array is None:
            convert = column.convert
            array = pa.array([v if v is None else convert(v) for v in values], column.arrow)
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        raise Refused(column.name) from error
    return array


@cache
def _plain_of(column: Column) -> Plain:
    field, arrow = column.field, column.arrow
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    if isinstance(field, models.JSONField):
        return lambda values, _: pa.array(values, arrow)
    if isinstance(field, models.UUIDField):
        return _uuids
    if pa.types.is_string(arrow):
        return _texts(field.max_length)
    if pa.types.is_integer(arrow):
        return _integers(arrow, least_of(field))
    if pa.types.is_decimal(arrow):
        return _decimals(arrow)
    return _BY_TYPE.get(arrow, _none)


def _none(values: Sequence[Any], types: set[type]) -> None:
    return None


def _texts(max_length: int | None) -> Plain:
    def plain(values: Sequence[Any], types: set[type]) -> pa.Array | None:
        if types != {str}:
            return None
        # Half a surrogate pair is refused here: it has no UTF-8.
        array = pa.array(values, pa.string())
        # No text has more characters than bytes.
        is_short = max_length is None or pc.max(pc.binary_length(array)).as_py() <= max_length
        if not is_short and pc.max(pc.utf8_length(array)).as_py() > max_length:
            raise ValueError("too long")
        if _has_nul(array):
            raise ValueError("NUL")
        return array

    return plain


def _integers(arrow: pa.DataType, least: int) -> Plain:
    def plain(values: Sequence[Any], types: set[type]) -> pa.Array | None:
        if types != {int}:
            return None
        array = pa.array(values, arrow)
        if pc.min(array).as_py() < least:
            raise ValueError("too small")
        return array

    return plain


def _decimals(arrow: pa.DataType) -> Plain:
    # Digits before and after the point as the column holds them: nothing to round, nothing to lose.
    before = max(arrow.precision - arrow.scale, 1)
    after = rf"(\.\d{{1,{arrow.scale}}})?" if arrow.scale else ""
    shape = rf"^-?\d{{1,{before}}}{after}$"

    def plain(values: Sequence[Any], types: set[type]) -> pa.Array | None:
        if types == {Decimal}:
            values = [v if v is None else str(v) for v in values]
        elif types != {str}:
            return None
        array = pa.array(values, pa.string())
        return array.cast(arrow) if _all_match(array, shape) else None

    return plain


def _floats(values: Sequence[Any], types: set[type]) -> pa.Array | None:
    if types <= {float, int}:
        values = values if types == {float} else [v if v is None else float(v) for v in values]
    else:
        return None
    array = pa.array(values, pa.float64())
    if not pc.all(pc.is_finite(array)).as_py():
        raise ValueError("not finite")
    return array


def _booleans(values: Sequence[Any], types: set[type]) -> pa.Array | None:
    return pa.array(values, pa.bool_()) if types == {bool} else None


def _datetimes(values: Sequence[Any], types: set[type]) -> pa.Array | None:
    arrow = pa.timestamp("us", tz="UTC")
    if types == {str}:
        text = pa.array(values, pa.string())
        if _are_zulu(text):
            # Of this length Arrow takes one form; what it refuses gets the closer look.
            with suppress(pa.ArrowInvalid):
                return _within(text.cast(arrow))
        return _within(text.cast(arrow)) if _all_match(text, _TIME) else None
    if types != {datetime}:
        return None
    zones = {type(v.tzinfo) for v in values if v is not None}
    if not zones <= {timezone, ZoneInfo}:
        return None
    return _within(pa.array(values, arrow))


def _dates(values: Sequence[Any], types: set[type]) -> pa.Array | None:
    if types == {str}:
        text = pa.array(values, pa.string())
        return _within(text.cast(pa.date32())) if _all_match(text, _DATE) else None
    return pa.array(values, pa.date32()) if types == {date} else None


def _uuids(values: Sequence[Any], types: set[type]) -> pa.Array | None:
    if types == {UUID}:
        return pa.array([v if v is None else str(v) for v in values], pa.string())
    if types != {str}:
        return None
    array = pa.array(values, pa.string())
    return array if _all_match(array, _UUID) else None


def _binaries(values: Sequence[Any], types: set[type]) -> pa.Array | None:
    return pa.array(values, pa.binary()) if types == {bytes} else None


def _all_match(array: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(array, pattern)).as_py())


def _are_zulu(array: pa.Array) -> bool:
    """Whether all are as long as `2026-01-02T03:04:05Z`, and end like that."""
    lengths = pc.min_max(pc.binary_length(array)).as_py()
    return set(lengths.values()) == {20} and bool(pc.all(pc.ends_with(array, "Z")).as_py())


def _has_nul(array: pa.Array) -> bool:
    """Whether a text of an array just made has a NUL in it."""
    # Looked for where all of them lie one after another: an array's own search takes ten times as
    # long as making it. Beyond the last there may be room, of zeros.
    _, offsets, text = array.buffers()
    end = pa.Array.from_buffers(pa.int32(), len(array) + 1, [None, offsets])[-1].as_py()
    return text is not None and b"\x00" in text.slice(0, end).to_pybytes()


def _within(array: pa.Array) -> pa.Array | None:
    """The array, where Python has dates and times for all its values; at the edges it decides."""
    ends = pc.min_max(array)
    fits = pc.and_(
        pc.greater(ends["min"], pa.scalar(_LONG_AGO, pa.date32()).cast(array.type)),
        pc.less(ends["max"], pa.scalar(_FAR_OFF, pa.date32()).cast(array.type)),
    )
    return array if fits.as_py() else None


_BY_TYPE: dict[pa.DataType, Plain] = {
    pa.float64(): _floats,
    pa.bool_(): _booleans,
    pa.timestamp("us", tz="UTC"): _datetimes,
    pa.date32(): _dates,
    pa.binary(): _binaries,
}
