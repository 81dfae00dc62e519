"""Columnar copies of what the serving database holds, built and published."""

import json
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings

from warehouse.build import build, publish
from warehouse.columns import duckdb_type

_ARROW = {
    "VARCHAR": pa.string(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
    "TIME": pa.time64("us"),
    "UUID": pa.string(),
    "JSON": pa.string(),
    "BLOB": pa.binary(),
}


def publish_copies(models):
    """Make a build of these models' rows as they are now, and publish it."""
    folder = settings.WAREHOUSE_DIR / "models"
    folder.mkdir(parents=True, exist_ok=True)
    made = build({model._meta.db_table: _write(folder, model) for model in models})
    publish(made)


def _write(folder, model):
    fields = model._meta.concrete_fields
    fields = [field for field in fields if hasattr(field, "column") and field.column]
    rows = model._base_manager.values_list(*(field.attname for field in fields))
    columns = list(zip(*rows, strict=True)) or [()] * len(fields)
    table = pa.table(
        {
            field.column: pa.array([_plain(value, kind) for value in values], type=_type(kind))
            for field, values in zip(fields, columns, strict=True)
            if (kind := duckdb_type(field))
        }
    )
    path = folder / f"{model._meta.db_table}.parquet"
    pq.write_table(table, path)
    return path


def _type(kind):
    if kind.startswith("DECIMAL"):
        digits, places = kind.removeprefix("DECIMAL(").rstrip(")").split(",")
        return pa.decimal128(int(digits), int(places))
    return _ARROW[kind]


def _plain(value, kind):
    if kind == "JSON":
        return None if value is None else json.dumps(value)
    if kind == "BLOB" and value is not None:
        return bytes(value)
    return str(value) if isinstance(value, UUID) else value
