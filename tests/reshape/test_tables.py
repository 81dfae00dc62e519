"""Tables: every kind of value comes back from the database as it went in."""

import json
from datetime import UTC, date, datetime
from uuid import UUID

import pyarrow as pa
import pytest
from django.db import connection

from reshape import reading_apart, staging
from reshape.tables import Scope, delete_rows, upsert_rows

from .everything import FULL, WHOLE_SECOND, Everything, as_arrow, created, read

# Only SQLite is written in two ways.
WAYS = ["as parameters", "staged"] if connection.vendor == "sqlite" else ["as parameters"]
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
