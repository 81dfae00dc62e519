"""When a rollup is computed again: on change, in every build, or not so soon."""

import os
import time

import duckdb

from warehouse.publish import publish

from .conftest import rows

COUNT = "SELECT count(*) AS n FROM quakes_quake"
QUAKES = [(str(n), "2024-05-01 10:00Z", 1.0) for n in range(3)]


def build(rollups, count, **options):
    copy = rollups.copy_quakes(*QUAKES[:count], name=f"quakes-{count}")
    made = rollups.build({"quakes_quake": copy}, changed={"quakes_quake"}, **options)
    publish(made)
    return made


def test_always_is_computed_where_nothing_changed(rollups):
    rollups.write("counted", f"-- refresh: always\n{COUNT}")
    rollups.write("calm", COUNT)
    copy = rollups.copy_quakes(*QUAKES)
    publish(rollups.build({"quakes_quake": copy}))

    made = rollups.build({"quakes_quake": copy}, changed=set())

    assert made.computed == {"counted"}


def test_every_keeps_its_rows_for_a_while_and_what_reads_it_too(rollups):
    rollups.write("counted", f"-- refresh: every 1h\n{COUNT}")
    rollups.write("doubled", "SELECT 2 * n AS n FROM counted")
    first = build(rollups, 1)

    second = build(rollups, 2)

    assert second.computed == set()
    assert rows(second.path, "SELECT n FROM counted") == [(1,)]
    assert rows(second.path, "SELECT n FROM doubled") == [(2,)]
    assert second.computed_at == first.computed_at


def test_every_is_computed_once_it_is_due(rollups):
    rollups.write("counted", f"-- refresh: every 1s\n{COUNT}")
    rollups.write("doubled", "SELECT 2 * n AS n FROM counted")
    build(rollups, 1)
    time.sleep(1.1)

    # Nothing changed since the last build; the rows that it kept are out of date.
    made = build(rollups, 2)

    assert made.computed == {"counted", "doubled"}
    assert rows(made.path, "SELECT n FROM doubled") == [(4,)]


def test_every_is_computed_at_once_when_all_is_computed_afresh(rollups):
    rollups.write("counted", f"-- refresh: every 1h\n{COUNT}")
    build(rollups, 1)

    made = rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES)})

    assert rows(made.path, "SELECT n FROM counted") == [(3,)]


def test_every_is_computed_at_once_when_its_columns_are_others(rollups):
    rollups.write("counted", f"-- refresh: every 1h\n{COUNT}")
    build(rollups, 1)

    rollups.write("counted", f"-- refresh: every 1h\n{COUNT.replace(' n ', ' m ')}")
    made = build(rollups, 2)

    assert rows(made.path, "SELECT m FROM counted") == [(2,)]


def test_a_build_of_an_older_form_is_computed_afresh(rollups):
    rollups.write("counted", COUNT)
    made = build(rollups, 1)
    with duckdb.connect(str(made.path)) as connection:
        connection.execute("ALTER TABLE build.rollups DROP COLUMN computed_at")
    assert os.path.exists(made.path)

    again = build(rollups, 1)

    assert again.computed == {"counted"}
