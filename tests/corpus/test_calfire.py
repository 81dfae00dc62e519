"""Three years of one public list of wildfires: 3,694 recorded versions in two forms.

What is expected is computed here from the recorded bodies with plain Python, apart from the
counts, which are those that anyone finds in the data.
"""

import json
import lzma
from datetime import datetime

import duckdb
import pytest

from raw_store.payload import request_key

from .measured import THEN, Program

pytestmark = pytest.mark.corpus

FIRST = "https://www.fire.ca.gov/umbraco/Api/IncidentApi/GetIncidents"
SECOND = "https://www.fire.ca.gov/api/sitecore/Incident/GetFiresForMap"
KEYS = {
    "first": request_key("GET", FIRST),
    "second": request_key("POST", SECOND, b"showFeatured=False"),
}

AUGUST_2021 = "2021-08-15T00:00:00Z"
BEFORE_EMPTY_BODY, EMPTY_BODY = "2021-07-22T15:44:29Z", "2021-07-22T15:44:30Z"
BEFORE_EMPTY_LIST, EMPTY_LIST = "2021-01-01T09:06:20Z", "2021-01-01T09:06:21Z"
MOMENTS = [AUGUST_2021, BEFORE_EMPTY_BODY, EMPTY_BODY, BEFORE_EMPTY_LIST, EMPTY_LIST]


@pytest.fixture(scope="module")
def snapshots(corpus_folder):
    log = corpus_folder / "calfire" / "snapshots.jsonl.xz"
    with lzma.open(log, "rt", encoding="utf-8") as lines:
        return [
            {
                "url": snapshot["url"],
                "fetched_at": snapshot["fetched_at"],
                "incidents": incidents_in(snapshot["body"]),
            }
            for snapshot in map(json.loads, lines)
        ]


@pytest.fixture(scope="module")
def program(corpus_folder, tmp_path_factory):
    return Program(tmp_path_factory.mktemp("calfire"))


@pytest.fixture(scope="module")
def steps(program, corpus_folder):
    """The whole history imported, replayed, and replayed as of each moment; the steps it took."""
    log = corpus_folder / "calfire" / "snapshots.jsonl.xz"
    as_of = [
        part
        for moment in MOMENTS
        for part in (
            *("replay", "calfire", "--as-of", moment),
            *("--into", str(file_of(program, moment)), THEN),
        )
    ]
    return [
        program.run("migrate", "-v0"),
        program.run("archive", "import", "calfire.incidents", str(log)),
        program.run("archive", "verify"),
        program.run("replay", "calfire"),
        program.run(*as_of[:-1]),
    ]


def incidents_in(body):
    """What a body lists, as the table should show it; None for an empty body."""
    if not body:
        return None
    document = json.loads(body)
    listed = document if isinstance(document, list) else document["Incidents"]
    return {
        incident["UniqueId"]: (
            incident["Name"],
            incident["AcresBurned"],
            incident["PercentContained"],
            incident["Started"][:10],
            incident["Updated"][:10],
            incident.get("Engines"),
        )
        for incident in listed
    }


def listed_at(snapshots, moment):
    """Every incident in the newest readable version of each address, up to the moment."""
    newest = {
        snapshot["url"]: snapshot["incidents"]
        for snapshot in snapshots
        if snapshot["incidents"] is not None and snapshot["fetched_at"] <= moment
    }
    return {code: row for incidents in newest.values() for code, row in incidents.items()}


COLUMNS = "code, name, acres, percent_contained, started_on, updated_on, engine_count"


def live_incidents(program):
    return {row[0]: row[1:] for row in program.rows(f"SELECT {COLUMNS} FROM calfire_incident")}


def incidents_as_of(program, moment):
    with duckdb.connect(str(file_of(program, moment)), read_only=True) as database:
        rows = database.execute(f"SELECT {COLUMNS} FROM calfire_incident").fetchall()
    return {
        code: (name, acres, contained, str(started_on), str(updated_on), engines)
        for code, name, acres, contained, started_on, updated_on, engines in rows
    }


def file_of(program, moment):
    return program.home / f"{moment.replace(':', '')}.duckdb"


def records(program, query):
    files = program.home / "records" / "calfire_incident" / "*" / "*.parquet"
    return duckdb.sql(query.replace("records", f"read_parquet('{files}')")).fetchall()


def test_every_version_gives_its_incidents(program, steps):
    counted = records(
        program, "SELECT _request_key, count(*), count(DISTINCT code) FROM records GROUP BY ALL"
    )

    assert sorted(counted) == sorted([(KEYS["first"], 28_556, 402), (KEYS["second"], 6_985, 286)])


def test_the_archive_holds_every_body_once_per_version(program, steps):
    files = program.home / "archive" / "**" / "*.parquet"
    counted = duckdb.sql(
        "SELECT request_key, count(body), count(DISTINCT body_digest) FILTER (body_size > 0) "
        f"FROM read_parquet('{files}') GROUP BY ALL"
    ).fetchall()

    assert sorted(counted) == sorted(
        [(KEYS["first"], 2_581, 2_488), (KEYS["second"], 1_113, 1_076)]
    )


def test_empty_bodies_wait_in_quarantine(program, steps, snapshots):
    entries = program.rows("SELECT fetched_at, error FROM reshape_quarantineentry")

    empty = [snapshot["fetched_at"] for snapshot in snapshots if snapshot["incidents"] is None]
    assert len(empty) == 7
    assert {(datetime.fromisoformat(at).isoformat(), error) for at, error in entries} == {
        (at.replace("Z", ""), "BodyUnreadable") for at in empty
    }


def test_the_end_shows_what_the_last_readable_versions_list(program, steps, snapshots):
    live = live_incidents(program)

    assert len(live) == 12
    assert live == listed_at(snapshots, "9999")


def test_as_of_shows_what_was_listed_then(program, steps, snapshots):
    then = incidents_as_of(program, AUGUST_2021)

    assert len(then) == 19
    assert then == listed_at(snapshots, AUGUST_2021)
    assert not then.keys() & live_incidents(program).keys()


def test_an_empty_body_deletes_nothing(program, steps, snapshots):
    before = incidents_as_of(program, BEFORE_EMPTY_BODY)
    after = incidents_as_of(program, EMPTY_BODY)

    assert EMPTY_BODY in {at["fetched_at"] for at in snapshots if at["incidents"] is None}
    assert len(before) > 0
    assert after == before == listed_at(snapshots, EMPTY_BODY)


def test_an_honest_empty_list_clears_the_table(program, steps, snapshots):
    before = incidents_as_of(program, BEFORE_EMPTY_LIST)
    after = incidents_as_of(program, EMPTY_LIST)

    assert EMPTY_LIST in {at["fetched_at"] for at in snapshots if at["incidents"] == {}}
    assert len(before) > 0
    assert before == listed_at(snapshots, BEFORE_EMPTY_LIST)
    assert after == {}


def test_no_step_needs_a_gigabyte(steps):
    assert max(step.megabytes for step in steps) < 1024


def test_the_archive_is_whole(steps):
    verified = steps[2].output

    assert "3,694 payloads" in verified
    assert "all is well" in verified
