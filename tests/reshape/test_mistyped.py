"""What another program wrote into a table of SQLite, which keeps whatever it is given."""

import pytest
from django.db import connection

from reshape import reading_apart
from reshape.errors import TableMistyped
from reshape.tables import upsert_rows

from .everything import FULL, WHOLE_SECOND, Everything, as_arrow, created, read


@pytest.fixture(params=["on the connection", "apart"])
def table(request, transactional_db, home, monkeypatch):
    """An empty table, read in each of the two ways."""
    if request.param == "apart":
        monkeypatch.setattr(reading_apart, "WORTH_IT", 1)
    with created():
        yield Everything


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


@pytest.mark.parametrize("name", MISTYPED)
def test_value_that_its_column_cannot_hold_makes_its_row_unlike_any(table, name, caplog):
    upsert_rows(connection, table, as_arrow(FULL, WHOLE_SECOND))
    write_by_hand(name, MISTYPED[name])

    found = read(is_compared=True)

    assert found[FULL["code"]] == {"code": FULL["code"]} | dict.fromkeys(FULL.keys() - {"code"})
    assert found["second"]["moment"] == WHOLE_SECOND["moment"]
    assert f"Everything.{name}=" in caplog.text


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


def test_row_is_not_compared_by_a_key_that_its_column_cannot_hold(table):
    upsert_rows(connection, table, as_arrow(FULL))
    write_by_hand("code", "x'ff'")

    with pytest.raises(TableMistyped, match="Remove the row"):
        read(is_compared=True)


def test_text_that_is_not_utf_8_is_told_of(table):
    upsert_rows(connection, table, as_arrow(FULL))
    write_by_hand("uid", "cast(x'ff' as text)")

    with pytest.raises(TableMistyped, match="nowhere_everything holds text that is not UTF-8"):
        read(is_compared=True)


def write_by_hand(name, value):
    """Write into the rows that have a number."""
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE nowhere_everything SET {name} = {value} WHERE number IS NOT NULL")
