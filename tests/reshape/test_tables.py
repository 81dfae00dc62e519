"""Tables: every kind of value comes back from the database as it went in."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest
from django.db import connection, models

from reshape.columns import columns_of
from reshape.tables import Scope, delete_rows, read_table, upsert_rows


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
EMPTY = {"code": "empty"}


@pytest.fixture
def table(transactional_db):
    with connection.schema_editor() as editor:
        editor.create_model(Everything)
    yield Everything
    with connection.schema_editor() as editor:
        editor.delete_model(Everything)


def as_arrow(*rows):
    schema = columns_of(Everything).schema
    filled = [{name: row.get(name) for name in schema.names} for row in rows]
    return pa.Table.from_pylist(filled, schema=schema).to_reader()


def read(scope=None):
    rows = read_table(connection, Everything, scope).read_all().to_pylist()
    return {row["code"]: row for row in rows}


def test_rows_come_back_as_they_went_in(table):
    upsert_rows(connection, table, as_arrow(FULL, WHOLE_SECOND, EMPTY))

    found = read()

    assert found[FULL["code"]] == FULL
    assert found["second"]["moment"] == WHOLE_SECOND["moment"]
    assert set(found["empty"].values()) == {"empty", None}


def test_rows_are_what_django_itself_would_have_written(table):
    upsert_rows(connection, table, as_arrow(FULL))

    row = Everything._default_manager.get(
        **{name: FULL[name] for name in ("price", "day", "moment", "hour", "uid")}
    )

    assert row.extra == {"a": [1, None, "é"], "b": 0.5}
    assert row.raw is not None
    assert bytes(row.raw) == b"\x00\xff"
    assert (row.flag, row.uid) == (True, UUID(str(FULL["uid"])))


def test_rows_that_django_wrote_are_read_alike(table):
    Everything._default_manager.create(
        **FULL | {"uid": UUID(str(FULL["uid"])), "extra": {"b": 0.5, "a": [1, None, "é"]}}
    )

    assert read()[FULL["code"]] == FULL


@pytest.mark.parametrize("text", ["", "\\.", "\\N", 'a\r\n"b",c\n\\.\n', "\ufeff,", " x ", "null"])
def test_awkward_text_comes_back(table, text):
    row = {"code": text or "empty", "extra": json.dumps(text, ensure_ascii=False)}
    old = {"code": "old", "day": date(1, 1, 1), "moment": datetime(1, 1, 1, 0, 0, 1, tzinfo=UTC)}

    upsert_rows(connection, table, as_arrow(row, old, {"code": "\x01", "raw": b""}))

    found = read()
    assert found[row["code"]]["extra"] == row["extra"]
    assert (found["old"]["day"], found["old"]["moment"]) == (old["day"], old["moment"])
    assert found["\x01"]["raw"] == b""


def test_numbers_come_back_exactly(table):
    numbers = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, 1e16, 123456789.123456789, 1e-7]
    rows = [{"code": str(place), "share": number} for place, number in enumerate(numbers)]

    upsert_rows(connection, table, as_arrow(*rows))

    assert {code: row["share"] for code, row in read().items()} == {
        row["code"]: row["share"] for row in rows
    }


def test_caller_is_told_how_many_rows_are_written(table):
    told: list[int] = []

    upsert_rows(connection, table, as_arrow(FULL, EMPTY), advance=told.append)

    assert sum(told) == 2


def test_times_with_and_without_a_fraction_are_written_as_django_does(table):
    moments = [datetime(2026, 1, 31, 1, 2, 3, fraction, tzinfo=UTC) for fraction in (0, 1, 250_000)]
    for count in (1, 2, 3):
        rows = [{"code": str(n), "moment": moments[n]} for n in range(count)]

        upsert_rows(connection, table, as_arrow(*rows))

        for row in rows:
            assert table._default_manager.filter(**row).exists()


def test_upsert_makes_an_existing_row_equal(table):
    upsert_rows(connection, table, as_arrow(FULL))

    upsert_rows(connection, table, as_arrow({"code": FULL["code"], "number": 1}))

    assert read()[FULL["code"]] == dict.fromkeys(FULL) | {
        "code": FULL["code"],
        "number": 1,
    }


def test_only_rows_with_the_given_keys_are_deleted(table):
    upsert_rows(connection, table, as_arrow(FULL, EMPTY))

    delete_rows(connection, table, pa.table({"code": [FULL["code"]]}).to_reader())

    assert set(read()) == {"empty"}


def test_scope_reads_one_part(table):
    upsert_rows(connection, table, as_arrow(FULL, EMPTY))

    assert set(read(Scope(column="code", value="empty"))) == {"empty"}
