"""Builds: rows and their ids, views, what is computed again, and what a failure leaves."""

import re
from decimal import Decimal

import duckdb
import pyarrow.parquet as pq
import pytest

from warehouse.build import STORAGE_VERSION
from warehouse.errors import BuildFailed
from warehouse.publish import current_build, publish

from .conftest import FETCH, TABLES, rows

DAILY = """\
-- Quakes per day.
SELECT occurred_at::DATE AS day, count(*) AS quake_count, max(magnitude) AS magnitude_max
FROM quakes_quake GROUP BY ALL ORDER BY day
"""
QUAKES = [
    ("a", "2024-05-01 10:00Z", 4.5),
    ("b", "2024-05-01 23:59Z", 5.5),
    ("c", "2024-05-02 00:00Z", None),
]


def exported(made, name):
    return pq.read_table(made.exports[name]).to_pylist()


def test_a_build_holds_rollups_and_views_over_the_copies(rollups):
    rollups.write("daily", DAILY)
    copy = rollups.copy_quakes(*QUAKES)

    made = rollups.build({"quakes_quake": copy})

    assert rows(made.path, "SELECT day::VARCHAR, quake_count, magnitude_max FROM daily") == [
        ("2024-05-01", 2, 5.5),
        ("2024-05-02", 1, None),
    ]
    assert rows(made.path, "SELECT code FROM quakes_quake ORDER BY code") == [
        ("a",),
        ("b",),
        ("c",),
    ]
    assert rows(made.path, "SELECT count(*) FROM quakes_station") == [(0,)]
    types = dict(rows(made.path, "SELECT column_name, column_type FROM (DESCRIBE quakes_quake)"))
    assert types == TABLES["quakes_quake"]


def test_the_rows_are_handed_over_as_parquet_with_their_ids(rollups):
    rollups.write("daily", DAILY)

    made = rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES)})

    assert made.computed == {"daily"}
    handed = exported(made, "daily")
    assert [row["quake_count"] for row in handed] == [2, 1]
    assert all(re.fullmatch("[0-9a-f]{32}", row["row_id"]) for row in handed)
    assert {(row["row_id"],) for row in handed} == set(rows(made.path, "SELECT row_id FROM daily"))


def test_an_id_is_the_digest_of_the_row(rollups):
    rollups.write("daily", DAILY)
    first = rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES)})

    again = rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES[:2], name="fewer")})

    assert exported(again, "daily") == exported(first, "daily")[:1]


def test_equal_rows_have_different_ids_that_come_again(rollups):
    rollups.write("codes", "SELECT 'same' AS a, [1, NULL] AS b FROM quakes_quake")
    first = rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES)})

    again = rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES[:2], name="fewer")})

    ids = {row["row_id"] for row in exported(first, "codes")}
    assert len(ids) == 3
    assert {row["row_id"] for row in exported(again, "codes")} < ids


def test_with_a_key_a_row_keeps_its_id_when_its_numbers_change(rollups):
    rollups.write("daily", f"-- key: day\n{DAILY}")
    first = rollups.build({"quakes_quake": rollups.copy_quakes(QUAKES[0])})

    again = rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES[:2], name="more")})

    (before,), (after,) = exported(first, "daily"), exported(again, "daily")
    assert before["quake_count"] != after["quake_count"]
    assert before["row_id"] == after["row_id"]


def test_a_key_that_names_two_rows_is_an_error_naming_it(rollups):
    path = rollups.write(
        "codes", "-- key: day\nSELECT occurred_at::DATE AS day, code FROM quakes_quake"
    )

    with pytest.raises(BuildFailed) as failure:
        rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES)})

    assert str(path) in str(failure.value)
    assert "2 of its rows have the key day=2024-05-01" in str(failure.value)


def test_every_type_is_handed_over_as_the_serving_database_stores_it(rollups):
    values = {
        "tiny": ("1::TINYINT", 1),
        "huge": ("sum(1)", 3),
        "unsigned": ("5::UBIGINT", 5),
        "real": ("0.5::FLOAT", 0.5),
        "not_finite": ("'nan'::DOUBLE", None),
        "infinite": ("1.0::DOUBLE / 0", None),
        "price": ("1.50::DECIMAL(10, 2)", Decimal("1.50")),
        "text": ("'é'", "é"),
        "kind": ("'a'::ENUM('a', 'b')", "a"),
        "flag": ("true", True),
        "fetch": (f"'{FETCH}'::UUID", FETCH),
        "listed": ("[1, NULL, 3]", "[1,null,3]"),
        "no_list": ("NULL::INTEGER[]", None),
        "struct": ("{'a': 1, 'b': DATE '2024-05-01'}", '{"a":1,"b":"2024-05-01"}'),
        "mapped": ("MAP {'k': 1}", '{"k":1}'),
        "detail": ("any_value(detail)", '{"a": 1}'),
    }
    rollups.write(
        "typed",
        "SELECT "
        + ", ".join(f"{sql} AS {name}" for name, (sql, _) in values.items())
        + ", TIMESTAMP '2024-05-01 10:00' AS at, TIMESTAMP_NS '2024-05-01 10:00' AS at_ns"
        + ", TIME '10:00' AS clock, DATE '2024-05-01' AS day FROM quakes_quake",
    )

    made = rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES)})

    (row,) = exported(made, "typed")
    assert {name: row[name] for name in values} == {
        name: expected for name, (_, expected) in values.items()
    }
    assert row["at"].isoformat() == row["at_ns"].isoformat() == "2024-05-01T10:00:00+00:00"
    assert (row["clock"].isoformat(), row["day"].isoformat()) == ("10:00:00", "2024-05-01")


def test_a_number_too_large_to_store_is_an_error_naming_the_column(rollups):
    path = rollups.write("huge", "SELECT 1::HUGEINT << 80 AS n, 1 AS fine FROM quakes_quake")

    with pytest.raises(BuildFailed) as failure:
        rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES)})

    assert str(path) in str(failure.value)
    assert "the column n (HUGEINT) holds 1208925819614629174706176" in str(failure.value)


def test_times_are_utc_whatever_the_process_thinks(rollups, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    rollups.write("daily", DAILY)

    made = rollups.build({"quakes_quake": rollups.copy_quakes(("a", "2024-05-01 23:59Z", 1.0))})

    assert rows(made.path, "SELECT day::VARCHAR FROM daily") == [("2024-05-01",)]


def test_only_rollups_whose_inputs_changed_are_computed(rollups):
    rollups.write("daily", DAILY)
    rollups.write(
        "monthly", "SELECT month(day) AS month, sum(quake_count) AS n FROM daily GROUP BY 1"
    )
    rollups.write("stations", "SELECT count(*) AS n FROM quakes_station")
    copy = rollups.copy_quakes(*QUAKES)
    first = rollups.build({"quakes_quake": copy}, changed=set())
    publish(first)

    same = rollups.build({"quakes_quake": copy}, changed=set())
    told = rollups.build({"quakes_quake": copy}, changed={"quakes_quake"})
    seen = rollups.build(
        {"quakes_quake": rollups.copy_quakes(*QUAKES[:1], name="new")}, changed=set()
    )
    whole = rollups.build({"quakes_quake": copy})

    assert first.computed == whole.computed == {"daily", "monthly", "stations"}
    assert same.computed == set()
    assert same.exports == first.exports
    assert told.computed == seen.computed == {"daily", "monthly"}
    assert rows(seen.path, "SELECT n FROM monthly") == [(1,)]
    assert rows(same.path, "FROM daily") == rows(first.path, "FROM daily")


def test_a_rollup_whose_file_changed_is_computed(rollups):
    rollups.write("daily", DAILY)
    rollups.write("stations", "SELECT count(*) AS n FROM quakes_station")
    copy = rollups.copy_quakes(*QUAKES)
    publish(rollups.build({"quakes_quake": copy}))

    rollups.write("daily", DAILY.replace("max(", "min("))
    made = rollups.build({"quakes_quake": copy}, changed=set())

    assert made.computed == {"daily"}


def test_a_rollup_whose_file_of_rows_is_gone_is_computed(rollups):
    rollups.write("daily", DAILY)
    first = rollups.build()
    publish(first)
    first.exports["daily"].unlink()

    made = rollups.build(changed=set())

    assert made.computed == {"daily"}


def test_a_damaged_current_build_is_computed_afresh(rollups):
    rollups.write("daily", DAILY)
    first = rollups.build()
    publish(first)
    first.path.write_bytes(b"not a database")

    made = rollups.build(changed=set())

    assert made.computed == {"daily"}


def test_a_failing_rollup_publishes_nothing_and_leaves_nothing(rollups):
    rollups.write("daily", DAILY)
    good = rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES)})
    publish(good)
    path = rollups.write("wrong", "SELECT code::INTEGER AS n FROM quakes_quake")
    before = sorted(rollups.warehouse.rglob("*"))

    with pytest.raises(BuildFailed) as failure:
        rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES)}, changed=set())

    assert str(path) in str(failure.value)
    assert "Could not convert string 'a' to INT32" in str(failure.value)
    assert "manage.py build_rollups" in str(failure.value)
    assert current_build(rollups.warehouse) == good.path
    assert sorted(rollups.warehouse.rglob("*")) == before


def test_sums_of_floats_come_out_the_same_every_time(rollups):
    rollups.write("total", "SELECT sum(magnitude) AS s, avg(magnitude) AS a FROM quakes_quake")
    copy = rollups.copies / "many.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT '{FETCH}' AS fetch_id, i::VARCHAR AS code, 'us' AS station_id, "
            "TIMESTAMPTZ '2024-05-01 00:00Z' AS occurred_at, sin(i) AS magnitude, '1' AS detail "
            f"FROM range(500000) t(i)) TO '{copy}' (FORMAT parquet, ROW_GROUP_SIZE 20000)"
        )

    sums = {
        rows(rollups.build({"quakes_quake": copy}).path, "SELECT s, a FROM total")[0]
        for _ in range(4)
    }

    assert len(sums) == 1


def test_a_copy_older_than_its_model_still_gives_the_models_columns(rollups):
    newer = {"quakes_quake": {**TABLES["quakes_quake"], "felt": "INTEGER"}}
    rollups.write("felt", "SELECT code, felt FROM quakes_quake")

    made = rollups.build({"quakes_quake": rollups.copy_quakes(QUAKES[0])}, tables=newer)

    assert rows(made.path, "SELECT code, felt FROM felt") == [("a", None)]


def test_the_file_opens_in_older_duckdb_clients(rollups):
    rollups.write("daily", DAILY)

    made = rollups.build()

    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{made.path}' AS made (READ_ONLY)")
        found = connection.execute(
            "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'made'"
        ).fetchone()
    assert found == (f"{STORAGE_VERSION}+",)


def test_a_build_carries_the_rollups_description(rollups):
    rollups.write("daily", DAILY)

    made = rollups.build()

    assert rows(made.path, "SELECT comment FROM duckdb_tables() WHERE table_name = 'daily'") == [
        ("Quakes per day.",)
    ]


def test_quotes_in_names_of_folders_and_comments_do_no_harm(tmp_path):
    from .conftest import Rollups

    folder = tmp_path / "it's"
    folder.mkdir()
    rollups = Rollups(folder)
    rollups.write("daily", f"-- The day's quakes.\n{DAILY}")

    made = rollups.build()

    assert rows(made.path, "SELECT count(*) FROM daily") == [(0,)]
