"""Values as each database keeps them, column by column, to Arrow and from it.

They equal those that Django itself would write.
"""

from collections.abc import Callable, Sequence
from datetime import time
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from django.db import models

from .json_text import canonical_json


def kinds_of(model: type[models.Model]) -> list[str]:
    """Per column of the model's schema, the kind of field that decides how it is stored."""
    kinds = []
    for field in model._meta.concrete_fields:
        while isinstance(field, models.ForeignKey):
            field = field.target_field
        kinds.append(next((kind for types, kind in _KINDS if isinstance(field, types)), "as it is"))
    return kinds


_KINDS: tuple[tuple[type, str], ...] = (
    (models.DateTimeField, "time"),
    (models.DateField, "date"),
    (models.TimeField, "time of day"),
    (models.DecimalField, "decimal"),
    (models.UUIDField, "uuid"),
    (models.BooleanField, "boolean"),
    (models.JSONField, "json"),
    (models.BinaryField, "binary"),
)
AS_TEXT = {"time", "date", "time of day", "decimal"}
"""Kinds that SQLite is asked for as text."""
TEXT_IN_SQLITE = {"uuid", "json"}
"""Those that it holds as text anyhow."""
_UUID_PARTS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))

Values = Any
"""Of one column, as the driver gives them, or as Arrow's does."""
Read = Callable[[Values, pa.DataType], pa.Array]
Write = Callable[[pa.Array], list[Any]]


def array_of(values: Values, arrow: pa.DataType) -> pa.Array:
    if not isinstance(values, pa.Array):
        # Arrow would cut off what follows the point.
        return (
            pa.array(values).cast(arrow) if pa.types.is_integer(arrow) else pa.array(values, arrow)
        )
    # A column of nulls alone is of any type.
    is_empty = values.null_count == len(values)
    return pa.nulls(len(values), arrow) if is_empty else values.cast(arrow)


def _list(values: Values) -> Sequence[Any]:
    return list(values.to_pylist()) if isinstance(values, pa.Array) else values


def _read_text(values: Values, arrow: pa.DataType) -> pa.Array:
    return array_of(values, pa.string()).cast(arrow)


def _read_time_of_day(values: Values, arrow: pa.DataType) -> pa.Array:
    return pa.array([v if v is None else time.fromisoformat(v) for v in _list(values)], arrow)


def _read_time(values: Values, arrow: pa.DataType) -> pa.Array:
    # SQLite holds UTC without saying so.
    return pc.assume_timezone(array_of(values, pa.string()).cast(pa.timestamp("us")), "UTC")


def _read_decimal(values: Values, arrow: pa.DataType) -> pa.Array:
    step = Decimal(1).scaleb(-arrow.scale)
    return pa.array([v if v is None else Decimal(v).quantize(step) for v in _list(values)], arrow)


def _read_hex(values: Values, arrow: pa.DataType) -> pa.Array:
    return _each_once(_dashed, array_of(values, pa.string()))


def _dashed(text: pa.Array) -> pa.Array:
    if pc.all(pc.match_substring_regex(text, "^[0-9a-f]{32}$")).as_py():
        parts = [pc.utf8_slice_codeunits(text, *ends) for ends in _UUID_PARTS]
        return pc.binary_join_element_wise(*parts, "-")
    return pa.array([v if v is None else str(UUID(v)) for v in text.to_pylist()], pa.string())


def _each_once(change: Callable[[pa.Array], pa.Array], column: pa.Array) -> pa.Array:
    """The column, changed value by value, each once: many rows name one fetch."""
    once = column.dictionary_encode()
    if 2 * len(once.dictionary) > len(column):
        return change(column)
    return change(once.dictionary).take(once.indices)


def _read_boolean(values: Values, arrow: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return array_of(values, arrow)
    return pa.array([v if v is None else bool(v) for v in values], arrow)


def _read_json(values: Values, arrow: pa.DataType) -> pa.Array:
    return pa.array(
        [v if v is None else canonical_json(orjson.loads(v)) for v in _list(values)], arrow
    )


def _read_binary(values: Values, arrow: pa.DataType) -> pa.Array:
    return pa.array([v if v is None else bytes.fromhex(v[2:]) for v in _list(values)], arrow)


def _write_text(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())


def _write_boolean(column: pa.Array) -> pa.Array:
    return column.cast(pa.int8())


def _write_time(column: pa.Array) -> pa.Array:
    # Django leaves a fraction of zero away; SQLite compares times as text.
    if (
        not pc.any(pc.not_equal(pc.microsecond(column), 0)).as_py()
        and not pc.any(pc.not_equal(pc.millisecond(column), 0)).as_py()
    ):
        return column.cast(pa.timestamp("s")).cast(pa.string())
    text = column.cast(pa.timestamp("us")).cast(pa.string())
    return pc.replace_substring_regex(text, r"\.000000$", "")


def _write_time_of_day(column: pa.Array) -> pa.Array:
    return pa.array([v if v is None else str(v) for v in column.to_pylist()], pa.string())


def _write_hex(column: pa.Array) -> pa.Array:
    return _each_once(_undashed, column)


def _undashed(column: pa.Array) -> pa.Array:
    return pc.replace_substring(column, "-", "")


def _write_uuid(column: pa.Array) -> list[Any]:
    return [v if v is None else UUID(v) for v in column.to_pylist()]


def _write_json(column: pa.Array) -> list[Any]:
    return [v if v is None else orjson.loads(v) for v in column.to_pylist()]


FROM_SQLITE: dict[str, Read] = {
    "time": _read_time,
    "date": _read_text,
    "time of day": _read_time_of_day,
    "decimal": _read_decimal,
    "uuid": _read_hex,
    "boolean": _read_boolean,
    "json": _read_json,
}
FROM_POSTGRESQL: dict[str, Read] = {"json": _read_json, "binary": _read_binary}
TO_SQLITE: dict[str, Callable[[pa.Array], pa.Array]] = {
    "boolean": _write_boolean,
    "time": _write_time,
    "date": _write_text,
    "time of day": _write_time_of_day,
    "decimal": _write_text,
    "uuid": _write_hex,
}
TO_POSTGRESQL: dict[str, Write] = {"uuid": _write_uuid, "json": _write_json}
