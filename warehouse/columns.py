"""The types: from a model's fields to DuckDB, and from a rollup's columns to Django.

The first half says what a rollup sees of a model, before any data is there. The
second half says what a rollup's column becomes in the serving database.
"""

import re
from typing import Any

from django.db import models

from .errors import RollupInvalid

ROW_ID = "row_id"
"""The column that a rollup's rows are known by."""

_TYPE_OF_FIELD = {
    "CharField": "VARCHAR",
    "TextField": "VARCHAR",
    "SlugField": "VARCHAR",
    "FileField": "VARCHAR",
    "FilePathField": "VARCHAR",
    "IPAddressField": "VARCHAR",
    "GenericIPAddressField": "VARCHAR",
    "SmallIntegerField": "SMALLINT",
    "PositiveSmallIntegerField": "SMALLINT",
    "SmallAutoField": "SMALLINT",
    "IntegerField": "INTEGER",
    "PositiveIntegerField": "INTEGER",
    "AutoField": "INTEGER",
    "BigIntegerField": "BIGINT",
    "PositiveBigIntegerField": "BIGINT",
    "BigAutoField": "BIGINT",
    "FloatField": "DOUBLE",
    "BooleanField": "BOOLEAN",
    "DateField": "DATE",
    "DateTimeField": "TIMESTAMP WITH TIME ZONE",
    "TimeField": "TIME",
    "UUIDField": "UUID",
    "JSONField": "JSON",
    "BinaryField": "BLOB",
}

_SMALL = {"TINYINT", "UTINYINT", "SMALLINT"}
_MEDIUM = {"USMALLINT", "INTEGER"}
_LARGE = {"UINTEGER", "BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT"}
_FLOATS = {"FLOAT", "DOUBLE"}
_TIMESTAMPS = {
    "TIMESTAMP",
    "TIMESTAMP_S",
    "TIMESTAMP_MS",
    "TIMESTAMP_NS",
    "TIMESTAMP WITH TIME ZONE",
}
_ADVICE = {
    '"NULL"': "give it a type, for example NULL::INTEGER",
    "INTERVAL": "give it as a number, for example epoch(…) AS duration_s",
    "BLOB": "give it as text, for example hex(…) or base64(…)",
    "BIT": "give it as text, for example …::VARCHAR",
    "BIGNUM": "cast it to BIGINT or DECIMAL(38, 0)",
    "TIME WITH TIME ZONE": "cast it to TIME",
}


def duckdb_columns(model: type[models.Model]) -> dict[str, str]:
    """Return the model's columns as DuckDB types, by column name, in the order of its fields."""
    return {str(field.column): duckdb_type(field) for field in model._meta.concrete_fields}


def duckdb_type(field: "models.Field[Any, Any]") -> str:
    """Return the DuckDB type that holds every value of `field`; a foreign key has its target's."""
    if isinstance(field, models.ForeignKey):
        return duckdb_type(field.target_field)
    if isinstance(field, models.DecimalField):
        return f"DECIMAL({field.max_digits},{field.decimal_places})"
    try:
        return _TYPE_OF_FIELD[field.get_internal_type()]
    except KeyError:
        raise RollupInvalid(
            f"Field {field.model.__name__}.{field.name} is a {type(field).__name__}, which the "
            f"warehouse has no type for. Use one of: {', '.join(sorted(_TYPE_OF_FIELD))}."
        ) from None


def stored_type(duckdb: str) -> str | None:
    """Return the type in which the serving database gets a rollup's column, or None for none.

    It is what the column is cast to when its rows are handed to the loader.
    """
    if duckdb in _SMALL:
        return "SMALLINT"
    if duckdb in _MEDIUM:
        return "INTEGER"
    if duckdb in _LARGE:
        return "BIGINT"
    if duckdb in _FLOATS:
        return "DOUBLE"
    if duckdb in _TIMESTAMPS:
        return "TIMESTAMP WITH TIME ZONE"
    if is_nested(duckdb) or duckdb == "JSON":
        return "JSON"
    if duckdb == "VARCHAR" or duckdb.startswith("ENUM("):
        return "VARCHAR"
    if duckdb in {"BOOLEAN", "DATE", "TIME", "UUID"} or duckdb.startswith("DECIMAL("):
        return duckdb
    return None


def is_nested(duckdb: str) -> bool:
    """Whether the type is a list, array, struct, map or union."""
    return duckdb.endswith("]") or duckdb.startswith(("STRUCT(", "MAP(", "UNION("))


def django_field(duckdb: str) -> "models.Field[Any, Any]":
    """Return the Django field for a rollup's column. Raises `RollupInvalid` when there is none."""
    stored = stored_type(duckdb)
    if stored is None:
        advice = _ADVICE.get(duckdb, "cast it to a type that it has")
        raise RollupInvalid(f"has the type {duckdb}, which the API has no word for; {advice}")
    if match := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", stored):
        return models.DecimalField(
            max_digits=int(match[1]), decimal_places=int(match[2]), null=True
        )
    return _FIELD_OF_TYPE[stored](null=True)


def is_filterable(duckdb: str) -> bool:
    """Whether equality and ranges on such a column mean something: no floats, nothing nested."""
    return stored_type(duckdb) not in {"DOUBLE", "JSON", None}


_FIELD_OF_TYPE: "dict[str, type[models.Field[Any, Any]]]" = {
    "SMALLINT": models.SmallIntegerField,
    "INTEGER": models.IntegerField,
    "BIGINT": models.BigIntegerField,
    "DOUBLE": models.FloatField,
    "VARCHAR": models.TextField,
    "BOOLEAN": models.BooleanField,
    "DATE": models.DateField,
    "TIME": models.TimeField,
    "TIMESTAMP WITH TIME ZONE": models.DateTimeField,
    "UUID": models.UUIDField,
    "JSON": models.JSONField,
}
