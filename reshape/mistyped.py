"""Values in a table that their columns cannot hold. No load writes them; SQLite keeps whatever
another program gives it.

Whatever the row should be, it is not that: compared, it is mended.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from django.db import OperationalError, models

from .columns import column_for, columns_of, shown
from .errors import TableMistyped

logger = logging.getLogger(__name__)

MISTYPED = (pa.ArrowException, ValueError, TypeError, ArithmeticError, AttributeError)
"""What reading such a value raises, by its kind."""

ReadColumn = Callable[[Any, pa.DataType], pa.Array]


class _Wrong(NamedTuple):
    """A value that its column cannot hold."""

    name: str
    row: int
    value: Any
    error: Exception


def read_each(
    model: type[models.Model],
    columns: Sequence[Any],
    reads: Sequence[ReadColumn],
    *,
    is_compared: bool,
) -> list[pa.Array]:
    """The columns of some rows, read value by value where a column cannot be read at once.

    Where rows are compared, a value that cannot be read is null, and so is what makes its row
    unlike any that should be: its `fetch_id`, or all but the key where a model has none. Else, and
    where it is part of the key, by which rows are compared, raises `TableMistyped`.
    """
    schema, key = columns_of(model).schema, columns_of(model).key
    arrays: list[pa.Array] = []
    wrong: list[_Wrong] = []
    for field, values, read in zip(schema, columns, reads, strict=True):
        try:
            arrays.append(read(values, field.type))
        except MISTYPED:
            arrays.append(_read_one_by_one(field, values, read, wrong))
    if not wrong:
        return arrays
    first = min(wrong, key=lambda each: each.name not in key)
    told = _told(model, first, arrays)
    if first.name in key:
        raise TableMistyped(f"{told} Remove the row: no row can be known by such a key.")
    if not is_compared:
        raise TableMistyped(
            f"{told} `manage.py reconcile {model._meta.app_label} --repair` mends it."
        )
    rows = {each.row for each in wrong}
    logger.warning("%s It counts as different, with %d other such rows.", told, len(rows) - 1)
    names = set(schema.names)
    unlike = {"fetch_id"} if "fetch_id" in names else names - set(key)
    is_wrong = pa.array([row in rows for row in range(len(arrays[0]))])
    return [
        pc.if_else(is_wrong, pa.scalar(None, array.type), array) if name in unlike else array
        for name, array in zip(schema.names, arrays, strict=True)
    ]


@contextmanager
def telling_of_bad_text(model: type[models.Model]) -> Iterator[None]:
    """Raise `TableMistyped` where SQLite's driver meets text that is not UTF-8."""
    try:
        yield
    except OperationalError as error:
        if "decode to UTF-8" not in str(error):
            raise
        raise TableMistyped(
            f"The table {model._meta.db_table} holds text that is not UTF-8: {error}. Another "
            f"program wrote it. Remove the row, or set the column to any text; then "
            f"`manage.py reconcile {model._meta.app_label} --repair` mends it."
        ) from error


def _read_one_by_one(
    field: pa.Field, values: Any, read: ReadColumn, wrong: list[_Wrong]
) -> pa.Array:
    """The column, null where a value cannot be read; those go to `wrong`."""
    cells = []
    for row, value in enumerate(values.to_pylist() if isinstance(values, pa.Array) else values):
        try:
            cells.append(read([value], field.type))
        except MISTYPED as error:
            wrong.append(_Wrong(field.name, row, value, error))
            cells.append(pa.nulls(1, field.type))
    return pa.concat_arrays(cells)


def _told(model: type[models.Model], wrong: _Wrong, arrays: Sequence[pa.Array]) -> str:
    """The value, the row that has it, and what was expected, as transforms are told it."""
    held = dict(zip(columns_of(model).schema.names, arrays, strict=True))
    key = [
        f"{name}={shown(held[name][wrong.row].as_py())}"
        for name in columns_of(model).key
        if name != wrong.name
    ]
    field = next(each for each in model._meta.concrete_fields if each.column == wrong.name)
    expected: Exception = wrong.error
    try:
        column_for(field).convert(wrong.value)
    except (ValueError, TypeError, OverflowError) as refused:
        expected = refused
    return (
        f"{model.__name__}.{wrong.name}={shown(wrong.value)}"
        f"{' where ' if key else ''}{', '.join(key)}: {expected}. "
        f"Another program wrote that into the table {model._meta.db_table}."
    )
