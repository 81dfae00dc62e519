"""A row set aside is known by its key again when a later payload gives it, whatever the key is."""

from datetime import UTC, date, datetime, time
from uuid import UUID

import pytest
from django.db import models

from reshape.columns import columns_of
from reshape.merging import empty_records
from reshape.models import Derived
from reshape.records import REJECTED_SCHEMA
from reshape.registry import all_transforms
from reshape.rejected import _leave_out_repaired, known_key
from reshape.sql import duck, empty_table
from tests.making import at


class Keyed(Derived):
    """A row whose key has a part of every kind."""

    pk = models.CompositePrimaryKey(
        "text", "flag", "number", "share", "price", "day", "moment", "hour", "uid", "raw"
    )
    text = models.TextField()
    flag = models.BooleanField()
    number = models.BigIntegerField()
    share = models.FloatField()
    price = models.DecimalField(max_digits=12, decimal_places=4)
    day = models.DateField()
    moment = models.DateTimeField()
    hour = models.TimeField()
    uid = models.UUIDField()
    raw = models.BinaryField()

    class Meta:
        # Of no installed app, so that no migration is expected of it.
        app_label = "nowhere"
        managed = False

    def __str__(self):
        return self.text


KEY = {
    "text": "é \x1f'\"\\",
    "flag": True,
    "number": -(2**63),
    "share": 1e16,
    "price": "1.5",
    "day": date(1, 2, 3),
    "moment": datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC),
    "hour": time(1, 2, 3, 500_000),
    "uid": UUID(int=7),
    "raw": b"a'\\\x00\xff",
}
OTHERS = {
    "text": "é",
    "flag": False,
    "number": 2**63 - 1,
    "share": 1.0,
    "price": "1.6",
    "day": date(1, 2, 4),
    "moment": datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
    "hour": time(1, 2, 3),
    "uid": UUID(int=8),
    "raw": b"a",
}


def left_after(read):
    """Whether a row of `KEY` that was set aside stays so once the row of this key was read."""
    transform = all_transforms()[0]
    moments = [(UUID(int=1), at(0)), (UUID(int=2), at(1))]
    early, late = (str(fetch_id) for fetch_id, _ in moments)
    texts = dict.fromkeys(REJECTED_SCHEMA.names, "")
    refused = {
        "fetch_id": early,
        "ordinal": 0,
        "model": "Keyed",
        "key": known_key(Keyed.row(**KEY)),
    }
    record = dict(zip(columns_of(Keyed).key, columns_of(Keyed).convert(read), strict=True))
    placing = {"fetch_id": late, "_fetched_at": at(1), "_sequence": 0, "_ordinal": 0}
    counts = {"_transform": transform.name, "_is_current": True}
    with duck() as connection:
        fill(connection, "rejected", empty_table("rejected", REJECTED_SCHEMA), texts | refused)
        fill(connection, "records_nowhere_keyed", empty_records(Keyed), record | placing | counts)
        connection.execute(
            "CREATE TABLE sightings "
            "(fetch_id UUID, fetched_at TIMESTAMPTZ, sequence BIGINT, is_start BOOLEAN)"
        )
        for fetch_id, moment in moments:
            connection.execute(
                "INSERT INTO sightings VALUES (?, ?, 0, true)", [str(fetch_id), moment]
            )
        _leave_out_repaired(connection, transform, Keyed)
        return bool(connection.execute("FROM rejected").fetchall())


def fill(connection, table, create, row):
    connection.execute(create)
    columns = connection.execute(f"DESCRIBE {table}").fetchall()
    holes = ", ".join("?" for _ in columns)
    connection.execute(f"INSERT INTO {table} VALUES ({holes})", [row[name] for name, *_ in columns])


def test_a_row_whose_key_was_read_later_is_set_aside_no_more():
    assert not left_after(KEY)


@pytest.mark.parametrize("name", OTHERS)
def test_a_row_of_another_key_stays_set_aside(name):
    assert left_after(KEY | {name: OTHERS[name]})
