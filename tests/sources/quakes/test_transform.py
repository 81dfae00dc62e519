"""The quakes transforms, on excerpts of what the agency published between 2014 and 2018."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sources.quakes.models import Network, Quake
from sources.quakes.transform import transform_day, transform_hour, transform_week
from tests.sources.recorded import recorded, rows_of

PAYLOADS = Path(__file__).parent / "payloads"
SUMMARY = "https://earthquake.usgs.gov/earthquakes/feed/v1.0/summary"


def quakes_of(name):
    payload = recorded("quakes.day", PAYLOADS / name, url=f"{SUMMARY}/{name}")
    return {row["code"]: row for row in rows_of(Quake, transform_day(payload))}


def altered(change):
    document = json.loads((PAYLOADS / "all_day.geojson").read_bytes())
    change(document)
    return recorded("quakes.day", json.dumps(document).encode(), url=f"{SUMMARY}/all_day.geojson")


def test_geojson_gives_every_quake_with_its_details():
    quake = quakes_of("all_week.geojson")["usb000pkxl"]

    assert quake == {
        "code": "usb000pkxl",
        "network_id": "us",
        "kind": "earthquake",
        "status": "reviewed",
        "place": "Bouvet Island region",
        "occurred_at": datetime(2014, 4, 15, 3, 57, 2, 150_000, tzinfo=UTC),
        "updated_at": datetime(2014, 4, 15, 11, 59, 32, 243_000, tzinfo=UTC),
        "latitude": -53.5271,
        "longitude": 8.7041,
        "depth_km": 11.74,
        "magnitude": 6.9,
        "magnitude_type": "mwp",
        "is_rounded": False,
        "significance": 732,
        "felt_count": None,
        "intensity_reported": None,
        "intensity_estimated": 0,
        "alert": "green",
        "has_tsunami_link": True,
        "station_count": None,
        "nearest_station_degrees": 18.901,
        "azimuthal_gap_degrees": 35,
        "residual_seconds": 1.06,
    }


def test_a_quake_names_its_network():
    payload = recorded("quakes.hour", PAYLOADS / "all_day.geojson", url=f"{SUMMARY}/all_hour")

    rows = list(transform_hour(payload))

    networks = {row["code"] for row in rows_of(Network, rows)}
    assert networks == {row["network_id"] for row in rows_of(Quake, rows)} == {"ci", "hv", "nc"}


def test_jsonp_is_read_as_the_geojson_it_wraps():
    wrapped = (PAYLOADS / "all_day.geojsonp").read_bytes()
    bare = wrapped.removeprefix(b"eqfeed_callback(").removesuffix(b");")

    from_jsonp = list(transform_day(recorded("quakes.day", wrapped, url=f"{SUMMARY}/p")))

    assert from_jsonp == list(transform_day(recorded("quakes.day", bare, url=f"{SUMMARY}/g")))
    assert len(rows_of(Quake, from_jsonp)) == 5


def test_atom_gives_the_rounded_quake_under_the_same_code():
    quake = quakes_of("all_week.atom")["ci38388032"]

    assert quake == {
        "code": "ci38388032",
        "network_id": "ci",
        "kind": "earthquake",
        "place": "10km NE of Aguanga, CA",
        "occurred_at": "2018-12-07 05:58:25+00:00",
        "updated_at": "2018-12-07T06:02:08.668Z",
        "latitude": 33.5135,
        "longitude": -116.8018333,
        "depth_km": 3.6,
        "magnitude": 1.1,
        "is_rounded": True,
    }


def test_a_negative_magnitude_stays_negative_and_a_missing_one_is_null():
    quakes = quakes_of("all_week.atom")

    assert quakes["nn00668838"]["magnitude"] == -0.3
    assert quakes["nc71110004"]["magnitude"] is None


@pytest.mark.parametrize("written", ["quarry", "quarry_blast", "quarry blast"])
def test_the_spellings_of_a_quarry_blast_are_one_kind(written):
    def spell(document):
        document["features"][0]["properties"]["type"] = written

    first = rows_of(Quake, transform_day(altered(spell)))[0]

    assert first["kind"] == "quarry blast"


def test_times_keep_their_milliseconds():
    def stamp(document):
        document["features"][0]["properties"]["time"] = 1478198296091

    first = rows_of(Quake, transform_week(altered(stamp)))[0]

    since_epoch = first["occurred_at"] - datetime(1970, 1, 1, tzinfo=UTC)
    assert since_epoch == timedelta(milliseconds=1478198296091)


def test_a_list_shorter_than_it_promises_is_refused():
    def drop_one(document):
        document["features"].pop()

    with pytest.raises(ValueError, match=r"holds 4 quakes; metadata\.count promises 5"):
        list(transform_day(altered(drop_one)))


def test_an_unknown_status_is_refused():
    def guess(document):
        document["features"][0]["properties"]["status"] = "guessed"

    with pytest.raises(ValueError, match="status is 'guessed'"):
        list(transform_day(altered(guess)))
