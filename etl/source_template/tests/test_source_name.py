"""The source_name source, on a recorded payload."""

from datetime import date
from pathlib import Path

import pytest

from etl.walk import refresh
from raw_store.archive import Archive
from sources.source_name.extract import URL
from sources.source_name.models import Reading, Station
from sources.source_name.transform import transform_readings
from tests.sources.recorded import recorded, rows_of
from warehouse.rollups import rollup_model

PAYLOADS = Path(__file__).parent / "payloads"


@pytest.fixture
def payload():
    return recorded("source_name.readings", PAYLOADS / "readings.json", url=URL)


def test_a_payload_gives_its_stations_and_readings(payload):
    rows = list(transform_readings(payload))

    assert [station["code"] for station in rows_of(Station, rows)] == ["n1", "s1"]
    assert [reading["value"] for reading in rows_of(Reading, rows)] == [3.5, 4.5, None]


@pytest.mark.django_db(transaction=True)
def test_a_replay_ends_in_rows_and_rollups(home, payload):
    Archive().append_all("source_name.readings", [payload])

    refresh("source_name")

    assert Station.objects.get(code="n1").readings.count() == 2
    daily = rollup_model("source_name_daily")._default_manager
    north = daily.filter(station_id="n1").values("day", "reading_count", "value_mean")
    assert list(north) == [{"day": date(2026, 1, 1), "reading_count": 2, "value_mean": 4.0}]
