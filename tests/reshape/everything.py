"""A table with a column of every kind, of no installed app."""

from contextlib import contextmanager

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
