"""Types: a model's fields in DuckDB, and a rollup's columns in Django."""

import pytest
from django.db import models

from tests.sample.models import Loan
from warehouse.columns import django_field, duckdb_columns, duckdb_type, is_filterable, stored_type
from warehouse.errors import RollupInvalid


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (models.CharField(max_length=9), "VARCHAR"),
        (models.TextField(), "VARCHAR"),
        (models.SlugField(), "VARCHAR"),
        (models.URLField(), "VARCHAR"),
        (models.EmailField(), "VARCHAR"),
        (models.SmallIntegerField(), "SMALLINT"),
        (models.PositiveSmallIntegerField(), "SMALLINT"),
        (models.IntegerField(), "INTEGER"),
        (models.PositiveIntegerField(), "INTEGER"),
        (models.AutoField(primary_key=True), "INTEGER"),
        (models.BigIntegerField(), "BIGINT"),
        (models.PositiveBigIntegerField(), "BIGINT"),
        (models.BigAutoField(primary_key=True), "BIGINT"),
        (models.FloatField(), "DOUBLE"),
        (models.DecimalField(max_digits=16, decimal_places=6), "DECIMAL(16,6)"),
        (models.BooleanField(), "BOOLEAN"),
        (models.DateField(), "DATE"),
        (models.DateTimeField(), "TIMESTAMP WITH TIME ZONE"),
        (models.TimeField(), "TIME"),
        (models.UUIDField(), "UUID"),
        (models.JSONField(), "JSON"),
        (models.BinaryField(), "BLOB"),
    ],
)
def test_a_field_has_a_type_that_holds_its_values(field, expected):
    assert duckdb_type(field) == expected


def test_a_foreign_key_has_its_targets_type_and_the_name_of_its_column():
    assert duckdb_columns(Loan) == {
        "fetch_id": "UUID",
        "book_id": "VARCHAR",
        "day": "DATE",
        "loan_count": "INTEGER",
    }


@pytest.mark.parametrize(
    ("kind", "stored", "field"),
    [
        ("TINYINT", "SMALLINT", models.SmallIntegerField),
        ("UTINYINT", "SMALLINT", models.SmallIntegerField),
        ("SMALLINT", "SMALLINT", models.SmallIntegerField),
        ("USMALLINT", "INTEGER", models.IntegerField),
        ("INTEGER", "INTEGER", models.IntegerField),
        ("UINTEGER", "BIGINT", models.BigIntegerField),
        ("BIGINT", "BIGINT", models.BigIntegerField),
        ("UBIGINT", "BIGINT", models.BigIntegerField),
        ("HUGEINT", "BIGINT", models.BigIntegerField),
        ("UHUGEINT", "BIGINT", models.BigIntegerField),
        ("FLOAT", "DOUBLE", models.FloatField),
        ("DOUBLE", "DOUBLE", models.FloatField),
        ("DECIMAL(38,1)", "DECIMAL(38,1)", models.DecimalField),
        ("VARCHAR", "VARCHAR", models.TextField),
        ("ENUM('a', 'b')", "VARCHAR", models.TextField),
        ("BOOLEAN", "BOOLEAN", models.BooleanField),
        ("DATE", "DATE", models.DateField),
        ("TIME", "TIME", models.TimeField),
        ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", models.DateTimeField),
        ("TIMESTAMP_S", "TIMESTAMP WITH TIME ZONE", models.DateTimeField),
        ("TIMESTAMP_MS", "TIMESTAMP WITH TIME ZONE", models.DateTimeField),
        ("TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE", models.DateTimeField),
        ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE", models.DateTimeField),
        ("UUID", "UUID", models.UUIDField),
        ("JSON", "JSON", models.JSONField),
        ("INTEGER[]", "JSON", models.JSONField),
        ("INTEGER[3]", "JSON", models.JSONField),
        ("STRUCT(a INTEGER)", "JSON", models.JSONField),
        ("MAP(VARCHAR, INTEGER)", "JSON", models.JSONField),
        ("UNION(a INTEGER)", "JSON", models.JSONField),
    ],
)
def test_a_rollups_column_becomes_a_field(kind, stored, field):
    assert stored_type(kind) == stored
    assert type(django_field(kind)) is field


def test_a_decimal_keeps_its_precision():
    field = django_field("DECIMAL(16,6)")

    assert isinstance(field, models.DecimalField)
    assert (field.max_digits, field.decimal_places) == (16, 6)


@pytest.mark.parametrize("kind", ["INTERVAL", '"NULL"', "BLOB", "BIT", "TIME WITH TIME ZONE", "X"])
def test_any_other_type_is_an_error(kind):
    with pytest.raises(RollupInvalid, match="no word for"):
        django_field(kind)


def test_floats_and_nested_values_are_not_for_filters():
    assert not any(map(is_filterable, ("DOUBLE", "FLOAT", "JSON", "INTEGER[]")))
    assert all(map(is_filterable, ("DATE", "VARCHAR", "INTEGER", "DECIMAL(9,2)", "UUID")))
