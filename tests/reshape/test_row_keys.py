"""Rows set aside alone are known again by their natural keys, of whatever kind these are."""

from uuid import UUID

import pyarrow as pa
import pytest
from django.db import models
from django.test.utils import isolate_apps

from reshape import registry
from reshape.columns import columns_of
from reshape.models import Derived
from reshape.records import REJECTED_SCHEMA, record_schema
from reshape.rejected import _leave_out_repaired, known_key
from reshape.sql import duck, empty_table
from tests.making import at

NAME = "sample.transform_pages"


@pytest.mark.parametrize(
    ("field", "before", "later"),
    [
        (models.DateTimeField(), "2026-01-01T12:00:00.5Z", "2026-01-01T13:00:00.5+01:00"),
        (models.DateField(), "2026-01-01", "2026-01-01"),
        (models.TimeField(), "12:00:00.5", "12:00:00.500"),
        (models.DecimalField(max_digits=8, decimal_places=3), "1.5", "1.50"),
        (models.BooleanField(), True, True),
        (models.FloatField(), 1e22, 1e22),
        (models.IntegerField(), -5, -5),
        (models.UUIDField(), UUID(int=5), str(UUID(int=5))),
        (models.CharField(max_length=9), 'é"\\\x07\x0b', 'é"\\\x07\x0b'),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, models.Field) else None,
)
@isolate_apps("tests.sample")
def test_a_key_is_known_again_whatever_its_kind(field, before, later):
    class Reading(Derived):
        pk = models.CompositePrimaryKey("place", "key")
        place = models.CharField(max_length=9)
        key = field.clone()

        class Meta:
            app_label = "sample"

    convert = columns_of(Reading).convert
    of_record = record_schema(Reading)
    lineage = ["fetch", "request", "run", at(1), 0]
    columns = [[value] for value in [*convert({"place": "a", "key": later}), *lineage]]
    records = pa.table(columns, schema=of_record)
    key = known_key(Reading.row(place="a", key=before))
    with duck() as connection:
        connection.execute(empty_table("rejected", REJECTED_SCHEMA))
        connection.execute(
            "INSERT INTO rejected BY NAME "
            "SELECT 'old' AS fetch_id, 0 AS ordinal, $key AS key, 'Reading' AS model "
            "UNION ALL SELECT 'old', 1, '', 'Reading' "
            "UNION ALL SELECT 'old', 2, replace($key, '\"a\"', '\"b\"'), 'Reading'",
            {"key": key},
        )
        connection.execute(
            "CREATE TABLE sightings AS SELECT 'old' AS fetch_id, true AS is_start, "
            "$then::TIMESTAMPTZ AS fetched_at, 0 AS sequence",
            {"then": at(0)},
        )
        connection.register("records", records)
        connection.execute(
            "CREATE TABLE records_sample_reading AS SELECT *, true AS _is_current, "
            "$transform AS _transform, 0 AS _sequence FROM records",
            {"transform": NAME},
        )

        _leave_out_repaired(connection, registry._transforms[NAME], Reading)

        assert connection.execute("SELECT ordinal FROM rejected ORDER BY 1").fetchall() == [
            (1,),
            (2,),
        ]
