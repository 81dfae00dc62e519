"""A table with a column of every kind, of no installed app."""

from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
from django.db import connection, models

from reshape.columns import columns_of
from reshape.reading_apart import ReadAgain
from reshape.tables import read_table


class Everything(models.Model):
    """A row with every kind of field."""

    code = models.TextField(primary_key=True)
    flag = models.BooleanField(null=True)
    small = models.SmallIntegerField(null=True)
    number = models.IntegerField(null=True)
    big = models.BigIntegerField(null=True)
    share = models.FloatField(null=True)
    price = models.DecimalField(max_digits=12, decimal_places=4, null=True)
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    hour = models.TimeField(null=True)
    uid = models.UUIDField(null=True)
    extra = models.JSONField(null=True)
    raw = models.BinaryField(null=True)

    class Meta:
        # Of no installed app, so that no migration is expected of it.
        app_label = "nowhere"
        managed = False

    def __str__(self):
        return self.code


FULL = {
    "code": "é'\"\\%s",
    "flag": True,
    "small": -(2**15),
    "number": 2**31 - 1,
    "big": -(2**63),
    "share": 0.1,
    "price": Decimal("12345678.9012"),
    "day": date(2026, 1, 31),
    "moment": datetime(2026, 1, 31, 23, 59, 59, 123456, tzinfo=UTC),
    "hour": time(1, 2, 3, 4),
    "uid": str(UUID(int=2**127 + 5)),
    "extra": '{"a":[1,null,"é"],"b":0.5}',
    "raw": b"\x00\xff",
}
WHOLE_SECOND = {"code": "second", "moment": datetime(2026, 1, 31, tzinfo=UTC), "hour": time(5)}


@contextmanager
def created():
    """The table is there while the block runs."""
    with connection.schema_editor() as editor:
        editor.create_model(Everything)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Everything)


def as_arrow(*rows):
    schema = columns_of(Everything).schema
    filled = [{name: row.get(name) for name in schema.names} for row in rows]
    return pa.Table.from_pylist(filled, schema=schema).to_reader()


def read(scope=None, *, is_compared=False):
    is_committed = not connection.in_atomic_block
    try:
        table = read_table(
            connection, Everything, scope, is_committed=is_committed, is_compared=is_compared
        ).read_all()
    except ReadAgain as again:
        table = again.rows.read_all()
    rows = table.to_pylist()
    return {row["code"]: row for row in rows}
