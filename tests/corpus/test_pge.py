"""Two and a half years of a map of power outages: 15,719 versions, 770,880 outages in them.

What is expected is computed here from the recorded bodies with plain Python.
"""

import json
import lzma
from collections import Counter, defaultdict

import pytest

from tests.sources.recorded import recorded, rows_of

from .measured import Program
from .pge.models import Outage, Sighting, Snapshot
from .pge.transform import transform_outages

pytestmark = pytest.mark.corpus


@pytest.fixture(scope="module")
def expected(corpus_folder):
    """Counts over all versions; customers per city and day; each outage's last city."""
    counts: Counter[str] = Counter()
    per_day: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    cities: dict[str, str] = {}
    sightings = []
    log = corpus_folder / "pge-outages" / "snapshots.jsonl.xz"
    with lzma.open(log, "rt", encoding="utf-8") as lines:
        for snapshot in map(json.loads, lines):
            outages = json.loads(snapshot["body"])
            counts["snapshots"] += 1
            counts["sightings"] += len(outages)
            counts["cut_off"] += len(outages) == 2000
            for outage in outages:
                code, customers = str(outage["F_OUTAGE_ID"]), outage["EST_CUSTOMERS"]
                counts["customers"] += customers
                cities[code] = outage["CITY"]
                sightings.append((code, snapshot["fetched_at"][:10], customers))
    for code, day, customers in sightings:
        total = per_day[cities[code], day]
        total[0] += 1
        total[1] += customers
    return {"counts": counts, "cities": cities, "per_day": per_day}


@pytest.fixture(scope="module")
def program(corpus_folder, tmp_path_factory):
    return Program(tmp_path_factory.mktemp("pge"))


@pytest.fixture(scope="module")
def steps(program, corpus_folder):
    """The whole history imported and replayed; the steps it took."""
    log = corpus_folder / "pge-outages" / "snapshots.jsonl.xz"
    return [
        program.run("migrate", "-v0"),
        program.run("archive", "import", "pge.outages", str(log)),
        program.run("replay", "pge"),
    ]


def test_every_version_and_every_outage_in_it_is_a_row(program, steps, expected):
    snapshots = program.rows("SELECT count(*), sum(is_cut_off) FROM pge_snapshot")
    sightings = program.rows("SELECT count(*), sum(customer_count) FROM pge_sighting")

    counts = expected["counts"]
    assert snapshots == [(15_719, 37)] == [(counts["snapshots"], counts["cut_off"])]
    assert sightings == [(770_880, 1_239_045)] == [(counts["sightings"], counts["customers"])]


def test_an_outage_is_one_row_whether_its_id_was_a_number_or_text(program, steps, expected):
    found = dict(program.rows("SELECT code, city_id FROM pge_outage"))

    assert len(found) == 45_729
    assert found == expected["cities"]


def test_the_rollup_adds_up_per_city_and_day(program, steps, expected):
    rows = program.rows(
        "SELECT city_id, day, sighting_count, customer_sighting_count FROM pge_city_daily"
    )

    found = {(city, day): [sightings, customers] for city, day, sightings, customers in rows}
    assert found == expected["per_day"]


def test_no_step_needs_a_gigabyte(steps):
    assert max(step.megabytes for step in steps) < 1024


def test_the_live_form_reads_as_the_recorded_one():
    attributes = {
        "F_OUTAGE_ID": "336858",
        "OUTAGE_EXTENT": "DEVICE",
        "OUTAGE_DEVICE_ID": "LineCut - 259663",
        "OUTAGE_CIRCUIT_ID": 12091116,
        "CREW_CURRENT_STATUS": "Awaiting Crew",
        "OUTAGE_CAUSE": None,
        "EST_CUSTOMERS": 3,
        "OUTAGE_LATITUDE": 37.78,
        "OUTAGE_LONGITUDE": -122.2,
        "CITY": "Oakland",
        "OUTAGE_START": 1787321172000,
        "LAST_UPDATE": 1787357155000,
        "CURRENT_ETOR": None,
    }
    live = {"features": [{"attributes": attributes, "geometry": {"x": 1.0, "y": 2.0}}]}

    from_live = rows_of_body(live)

    assert from_live == rows_of_body([attributes | {"F_OUTAGE_ID": 336858}])
    assert [len(rows_of(model, from_live)) for model in (Snapshot, Outage, Sighting)] == [1, 1, 1]


def rows_of_body(document):
    body = json.dumps(document).encode()
    return list(transform_outages(recorded("pge.outages", body, url="https://pge.example/")))
