"""Links of rollups: from their SELECT, and from their headers."""

import pytest

from warehouse.discovery import discover
from warehouse.links import Target

from .conftest import TABLES

TARGETS = [
    Target(label="quakes.Station", table="quakes_station", key="code", kind="VARCHAR"),
    Target(
        label="quakes.Quake",
        table="quakes_quake",
        key="code",
        kind="VARCHAR",
        references={"station_id": "quakes.Station"},
    ),
    Target(label="quakes.Pair", table="quakes_pair", key=None, kind=""),
]


def found(rollups):
    files = [("quakes", path) for path in sorted(rollups.files.glob("*.sql"))]
    return discover(files, TABLES, targets=TARGETS)


@pytest.mark.parametrize(
    ("sql", "links"),
    [
        ("SELECT station_id, count(*) AS n FROM quakes_quake GROUP BY 1", "station_id Station"),
        ("SELECT station_id AS place FROM quakes_quake", "place Station"),
        ("SELECT code FROM quakes_quake", "code Quake"),
        ("FROM quakes_station SELECT code", "code Station"),
        ("SELECT * EXCLUDE (fetch_id) FROM quakes_station", "code Station"),
        (
            "SELECT s.code, count(*) AS n FROM quakes_quake q "
            "JOIN quakes_station s ON s.code = q.station_id GROUP BY 1",
            "code Station",
        ),
        (
            "WITH busy AS (SELECT station_id AS place, count(*) AS n FROM quakes_quake GROUP BY 1) "
            "SELECT busy.place AS at, n FROM busy",
            "at Station",
        ),
        # Computed, on the way or at the end; or by position; or of two minds: not certain.
        ("SELECT upper(station_id) AS station_id FROM quakes_quake", ""),
        ("WITH a AS (SELECT lower(code) AS code FROM quakes_quake) SELECT code FROM a", ""),
        ("SELECT code FROM quakes_quake UNION SELECT station_id FROM quakes_quake", ""),
        (
            "SELECT code FROM (FROM quakes_quake SELECT code) "
            "WHERE EXISTS (FROM quakes_station s WHERE s.code = code)",
            "",
        ),
    ],
)
def test_a_column_that_is_passed_on_links_to_what_it_is_the_key_of(rollups, sql, links):
    rollups.write("linked", sql)

    (rollup,), problems = found(rollups)

    assert problems == []
    assert " ".join(f"{name} {label[7:]}" for name, label in rollup.links) == links


def test_a_link_is_passed_on_by_rollups(rollups):
    rollups.write("daily", "SELECT station_id AS place, count(*) AS n FROM quakes_quake GROUP BY 1")
    rollups.write("most", "SELECT place FROM daily")

    (_, most), problems = found(rollups)

    assert problems == []
    assert most.links == (("place", "quakes.Station"),)


def test_a_header_links_what_is_computed(rollups):
    rollups.write(
        "linked",
        "-- link: place -> station\nSELECT upper(station_id) AS place FROM quakes_quake",
    )

    (rollup,), problems = found(rollups)

    assert problems == []
    assert rollup.links == (("place", "quakes.Station"),)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("place -> Sation", "no model of a source. Models: quakes.Station"),
        ("plac -> Station", "links the column plac, which it does not have. Columns: place"),
        ("place -> Pair", "whose key has several columns"),
        ("n -> Station", "whose key code is VARCHAR; cast the column"),
    ],
)
def test_a_link_that_leads_nowhere_names_the_closest(rollups, header, problem):
    path = rollups.write(
        "linked", f"-- link: {header}\nSELECT station_id AS place, 1 AS n FROM quakes_quake"
    )

    none, (error,) = found(rollups)

    assert none == []
    assert str(path) in str(error)
    assert problem in str(error)
