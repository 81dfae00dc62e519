"""Merging: records that tell parts of a row, precedence between feeds, lists of links."""

import random
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from raw_store.archive import Archive
from reshape.columns import GIVEN
from reshape.merging import choose, empty_records, record_columns
from reshape.models import HeldRow, QuarantineEntry
from reshape.records import records_dir
from reshape.replay import derive
from reshape.sql import duck
from tests.making import at, make_payload
from tests.port.models import Cargo, Vessel, VesselCargo

pytestmark = pytest.mark.django_db
FEEDS = ["port.registry", "port.sightings", "port.log"]


@pytest.fixture
def archive(home):
    return Archive()


@pytest.fixture
def put(archive):
    def put(feed, body, minute, **more):
        archive.append_all(feed, [make_payload(feed, body, minute=minute, **more)])
        return str(make_payload(feed, minute=minute, **more).fetch_id)

    return put


def rows(archive, model):
    found = pq.read_table(derive("port", archive).linked.copies[model]).to_pylist()
    return sorted(found, key=str)


def vessels(*values):
    return {"vessels": list(values)}


def test_each_column_comes_from_the_newest_record_that_gives_it(archive, put):
    put("port.registry", vessels({"code": "v", "name": "Vera", "flag": "NO"}), 0)
    put("port.sightings", vessels({"code": "v", "length_m": 30}), 1)

    (row,) = rows(archive, Vessel)

    assert (row["name"], row["flag"], row["length_m"]) == ("Vera", "NO", 30)


def test_a_column_given_as_none_is_given(archive, put):
    put("port.registry", vessels({"code": "v", "name": "Vera", "flag": "NO"}), 0)
    put("port.sightings", vessels({"code": "v", "flag": None}), 1)

    (row,) = rows(archive, Vessel)

    assert row["flag"] is None


def test_a_column_that_nobody_gives_has_its_default(archive, put):
    put("port.registry", vessels({"code": "v", "name": "Vera"}), 0)

    (row,) = rows(archive, Vessel)

    assert (row["flag"], row["length_m"]) == (None, 7)


def test_what_a_superseded_version_gave_counts_no_more(archive, put):
    put("port.registry", vessels({"code": "v", "name": "Vera", "flag": "NO"}), 0)
    put("port.registry", vessels({"code": "v", "name": "Vera"}), 1)

    (row,) = rows(archive, Vessel)

    assert row["flag"] is None


def test_a_row_waits_for_a_column_that_nobody_gives_yet(archive, put):
    put("port.sightings", vessels({"code": "v", "flag": "NO"}), 0)

    assert rows(archive, Vessel) == []
    (held,) = rows(archive, HeldRow)
    assert (held["model"], held["key"], held["field"], held["target"]) == (
        "port.Vessel",
        '["v"]',
        "name",
        "",
    )


def test_a_natural_key_is_always_given(archive, put):
    put("port.registry", vessels({"name": "Vera"}), 0)

    assert rows(archive, Vessel) == []
    (entry,) = rows(archive, QuarantineEntry)
    assert "Vessel.code is missing" in entry["message"]


def test_the_value_of_a_trusted_feed_wins_over_a_newer_one(archive, put):
    put("port.registry", vessels({"code": "v", "name": "Vera"}), 0)
    put("port.sightings", vessels({"code": "v", "name": "Wera", "flag": "SE"}), 1)
    put("port.log", vessels({"code": "v", "name": "?", "flag": "NO"}), 2)

    (row,) = rows(archive, Vessel)

    assert (row["name"], row["flag"]) == ("Vera", "NO")


def test_a_less_trusted_feed_speaks_where_the_trusted_one_is_silent(archive, put):
    put("port.registry", vessels({"code": "v", "name": "Vera"}), 0)
    put("port.log", vessels({"code": "v", "name": "?"}), 1)
    put("port.sightings", vessels({"code": "v", "name": "Wera"}), 0.5)
    put("port.registry", vessels({"code": "v", "flag": "NO"}), 2)

    (row,) = rows(archive, Vessel)

    assert row["name"] == "Wera"


def test_a_merged_row_names_the_payload_that_completed_it(archive, put):
    put("port.registry", vessels({"code": "v", "name": "Vera"}), 0)
    completed = put("port.sightings", vessels({"code": "v", "length_m": 30}), 1)
    put("port.registry", vessels({"code": "v", "name": "Vera"}) | {"cargoes": []}, 2)
    put("port.log", vessels({"code": "v", "length_m": 30, "name": "?"}), 3)

    (row,) = rows(archive, Vessel)

    assert row["fetch_id"] == completed


def test_a_value_that_came_back_counts_since_it_came_back(archive, put):
    for minute, flag in enumerate(["NO", "SE", "NO"]):
        last = put("port.log", vessels({"code": "v", "name": "Vera", "flag": flag}), minute)
    put("port.log", vessels({"code": "v", "name": "Vera"}), 3)

    (row,) = rows(archive, Vessel)

    assert row["fetch_id"] == last


def test_only_models_that_merge_fields_record_what_is_given(archive, put):
    put("port.registry", vessels({"code": "v", "name": "V"}) | {"cargoes": [{"code": "c"}]}, 0)
    derive("port", archive)

    def columns(table):
        (file,) = records_dir(table, "").parent.glob(f"{table}/*/*.parquet")
        return pq.read_schema(file).names

    assert "_given" in columns("port_vessel")
    assert "_given" not in columns("port_cargo")


CARGOES = {"cargoes": [{"code": "ice"}, {"code": "tar"}]}


def links(archive):
    return [(row["vessel_id"], row["cargo_id"]) for row in rows(archive, VesselCargo)]


def test_a_list_of_keys_makes_the_links(archive, put):
    put("port.log", CARGOES, 0)
    said = put(
        "port.registry", vessels({"code": "v", "name": "V", "cargoes": ["tar", "ice", "tar"]}), 1
    )

    assert links(archive) == [("v", "ice"), ("v", "tar")]
    assert {row["fetch_id"] for row in rows(archive, VesselCargo)} == {said}


def test_a_link_that_is_listed_no_more_is_gone(archive, put):
    put("port.log", CARGOES, 0)
    put("port.registry", vessels({"code": "v", "name": "V", "cargoes": ["tar", "ice"]}), 1)
    put("port.sightings", vessels({"code": "v", "cargoes": ["tar"]}), 2)

    assert links(archive) == [("v", "tar")]


def test_a_record_without_the_list_says_nothing_about_it(archive, put):
    put("port.log", CARGOES, 0)
    put("port.registry", vessels({"code": "v", "name": "V", "cargoes": ["tar"]}), 1)
    put("port.sightings", vessels({"code": "v", "flag": "NO"}), 2)

    assert links(archive) == [("v", "tar")]


def test_a_list_in_another_order_is_the_same_list(archive, put):
    put("port.log", CARGOES, 0)
    first = put("port.log", vessels({"code": "v", "name": "V", "cargoes": ["tar", "ice"]}), 1)
    put("port.log", vessels({"code": "v", "name": "V", "cargoes": ["ice", "tar"]}), 2)

    (row,) = rows(archive, Vessel)

    assert row["fetch_id"] == first


def test_a_link_without_its_target_is_held_and_its_owner_is_not(archive, put):
    put("port.log", CARGOES, 0)
    put("port.registry", vessels({"code": "v", "name": "V", "cargoes": ["tar", "gold"]}), 1)

    assert links(archive) == [("v", "tar")]
    assert [row["code"] for row in rows(archive, Vessel)] == ["v"]
    (held,) = rows(archive, HeldRow)
    assert (held["model"], held["key"], held["target"]) == (
        "port.VesselCargo",
        '["v","gold"]',
        "gold",
    )


def test_links_of_a_held_owner_are_held(archive, put):
    put("port.registry", CARGOES | vessels({"code": "v", "flag": "NO", "cargoes": ["tar"]}), 1)

    assert links(archive) == []
    assert [row["model"] for row in rows(archive, HeldRow)] == ["port.Vessel", "port.VesselCargo"]


def test_links_given_as_rows_stand_beside_listed_ones(archive, put):
    body = {
        "vessels": [{"code": "v", "name": "V", "cargoes": ["tar"]}],
        "carried": [{"vessel_id": "v", "cargo_id": "ice"}, {"vessel_id": "v", "cargo_id": "tar"}],
    }
    put("port.registry", CARGOES | body, 1)

    assert links(archive) == [("v", "ice"), ("v", "tar")]


@pytest.mark.parametrize(
    ("cargoes", "words"),
    [
        ("tar", "Vessel.cargoes='tar': it is str, not a list of keys"),
        ([7], "Vessel.cargoes=[7]: it is int, not text"),
        (["t" * 17], "17 characters long; the field holds 16"),
        (None, "must not be null"),
    ],
)
def test_a_list_of_what_are_no_keys_is_quarantined(archive, put, cargoes, words):
    put("port.registry", vessels({"code": "v", "name": "V", "cargoes": cargoes}), 0)

    (entry,) = rows(archive, QuarantineEntry)

    assert words in entry["message"]


def test_compaction_keeps_what_records_give_and_list(archive, put):
    put("port.log", CARGOES, 0)
    put("port.registry", vessels({"code": "v", "name": "V", "cargoes": ["tar"]}), 1)
    put("port.registry", vessels({"code": "w", "name": "W", "flag": "NO"}), 2, url="http://p/2")
    put("port.sightings", vessels({"code": "v", "flag": "SE"}), 3)
    before = [rows(archive, model) for model in (Vessel, VesselCargo)]
    segments = len(archive.segments("port.registry"))

    archive.compact(grace=timedelta(0))
    after = derive("port", archive)

    assert len(archive.segments("port.registry")) < segments
    assert after.parsed.payload_count == 0
    assert [rows(archive, model) for model in (Vessel, VesselCargo)] == before


@pytest.mark.parametrize("model", [Vessel, Cargo])
def test_any_set_of_whole_keys_merges_by_itself(home, model):
    picked = random.Random(7)
    records = [
        (picked.choice("uvwxyz"), picked.choice("ABC"), number, picked.choice(FEEDS))
        for number in range(300)
    ]

    def merged(keys):
        columns = record_columns(model)
        with duck() as connection:
            connection.execute(empty_records(model))
            for key, word, number, feed in records:
                if key in keys:
                    values = {"code": key, columns[1]: word, GIVEN: f"1{number % 2}{'0' * 4}"}
                    given = [values.get(name) for name in columns]
                    moment = at(number).isoformat()
                    row = [*given, str(number), moment, 0, feed, 0, number % 3 > 0]
                    holes = ", ".join("?" * len(row))
                    table = f"records_{model._meta.db_table}"
                    connection.execute(f"INSERT INTO {table} VALUES ({holes})", row)
            choose(connection, model, {feed: feed for feed in FEEDS})
            found = connection.execute(f"SELECT * FROM linked_{model._meta.db_table}").fetchall()
        return set(map(str, found))

    whole = merged("uvwxyz")

    assert len(whole) == 6
    assert merged("ux") | merged("vwyz") == whole


def test_rows_of_other_models_are_merged_as_ever(archive, put):
    put("port.registry", {"cargoes": [{"code": "c", "label": "Coal"}]}, 0)
    put("port.sightings", {"cargoes": [{"code": "c"}]}, 1)

    (row,) = rows(archive, Cargo)

    assert row["label"] == "unnamed"
