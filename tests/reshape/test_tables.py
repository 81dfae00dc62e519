"""Tables: every kind of value comes back from the database as it went in."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest
from django.db import connection

from reshape import reading_apart, staging
from reshape.errors import TableMistyped
from reshape.tables import Scope, delete_rows, upsert_rows

from .everything import Everything, as_arrow, created, read

# Only SQLite is written in two ways.
WAYS = ["as parameters", "staged"] if connection.vendor == "sqlite" else ["as parameters"]
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


@pytest.fixture(params=WAYS)
def table(request, transactional_db, home, monkeypatch):
    """An empty table, written and read in each of the two ways that SQLite has."""
    if request.param == "staged":
        monkeypatch.setattr(staging, "WORTH_IT", 0)
        monkeypatch.setattr(reading_apart, "WORTH_IT", 1)
    with created():
        yield Everything


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


MISTYPED = {
    "number": "'many'",
    "big": "1.5",
    "share": "'much'",
    "price": "'free'",
    "day": "'tomorrow'",
    "moment": "'now'",
    "hour": "'noon'",
    "uid": "'me'",
}


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's columns hold their type")
@pytest.mark.parametrize("name", MISTYPED)
def test_value_that_its_column_cannot_hold_makes_its_row_unlike_any(table, name, caplog):
    upsert_rows(connection, table, as_arrow(FULL, WHOLE_SECOND))
    write_by_hand(name, MISTYPED[name])

    found = read(is_compared=True)

    assert found[FULL["code"]] == {"code": FULL["code"]} | dict.fromkeys(FULL.keys() - {"code"})
    assert found["second"]["moment"] == WHOLE_SECOND["moment"]
    assert f"Everything.{name}=" in caplog.text


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's columns hold their type")
def test_value_that_its_column_cannot_hold_is_named_with_what_was_expected(table):
    upsert_rows(connection, table, as_arrow(FULL | {"code": "one"}))
    write_by_hand("number", "'many'")

    with pytest.raises(TableMistyped) as raised:
        read()

    assert str(raised.value) == (
        "Everything.number='many' where code='one': it is str, not a whole number. "
        "Another program wrote that into the table nowhere_everything. "
        "`manage.py reconcile nowhere --repair` mends it."
    )


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's columns hold their type")
def test_row_is_not_compared_by_a_key_that_its_column_cannot_hold(table):
    upsert_rows(connection, table, as_arrow(FULL))
    write_by_hand("code", "x'ff'")

    with pytest.raises(TableMistyped, match="Remove the row"):
        read(is_compared=True)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL takes no such text")
def test_text_that_is_not_utf_8_is_told_of(table):
    upsert_rows(connection, table, as_arrow(FULL))
    write_by_hand("uid", "cast(x'ff' as text)")

    with pytest.raises(TableMistyped, match="nowhere_everything holds text that is not UTF-8"):
        read(is_compared=True)


def write_by_hand(name, value):
    """Write into the rows that have a number."""
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE nowhere_everything SET {name} = {value} WHERE number IS NOT NULL")
