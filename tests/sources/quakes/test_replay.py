"""The quakes source from archive to tables: windows slide, descriptions are revised."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from etl.walk import refresh
from raw_store.archive import Archive
from sources.quakes.models import Quake
from tests.sources.recorded import recorded
from warehouse.rollups import rollup_model

PAYLOADS = Path(__file__).parent / "payloads"
URL = "https://earthquake.usgs.gov/earthquakes/feed/v1.0/summary"
NOON = datetime(2016, 11, 3, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db(transaction=True)


def snapshot(feed, features, *, minute):
    body = json.dumps({"metadata": {"count": len(features)}, "features": features}).encode()
    address = f"{URL}/all_{feed.partition('.')[2]}.geojson"
    return recorded(feed, body, url=address, fetched_at=NOON + timedelta(minutes=minute))


@pytest.fixture
def features():
    return json.loads((PAYLOADS / "all_day.geojson").read_bytes())["features"]


def archive(*payloads):
    for payload in payloads:
        Archive().append_all(payload.feed, [payload])


def test_a_quake_that_leaves_the_window_stays(home, features):
    archive(
        snapshot("quakes.hour", features, minute=0), snapshot("quakes.hour", features[:2], minute=1)
    )

    refresh("quakes")

    assert Quake.objects.count() == 5


def test_the_newest_fetch_of_any_feed_describes_a_quake(home, features):
    revised = json.loads(json.dumps(features[:1]))
    revised[0]["properties"]["mag"] = 3.25
    archive(
        snapshot("quakes.hour", revised, minute=1),
        snapshot("quakes.week", features, minute=0),
    )

    refresh("quakes")

    assert Quake.objects.get(code=revised[0]["id"]).magnitude == 3.25


def test_the_rollup_counts_earthquakes_and_no_blasts(home, features):
    archive(snapshot("quakes.day", features, minute=0))

    refresh("quakes")

    daily = rollup_model("quakes_daily")._default_manager.order_by("day")
    assert list(daily.values_list("day", "quake_count", "magnitude_max")) == [
        (date(2016, 11, 3), 4, 1.88)
    ]
