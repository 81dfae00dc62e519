"""The fx source from archive to tables."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from etl.walk import refresh
from raw_store.archive import Archive
from sources.fx.models import Currency, Rate
from tests.sources.recorded import recorded
from warehouse.rollups import rollup_model

PAYLOADS = Path(__file__).parent / "payloads"
LIVE = "https://www.ecb.europa.eu/stats/eurofxref"

pytestmark = pytest.mark.django_db(transaction=True)


def archive(feed, name, day):
    payload = recorded(
        feed, PAYLOADS / name, url=f"{LIVE}/{name}", fetched_at=datetime(2014, 6, day, tzinfo=UTC)
    )
    Archive().append_all(feed, [payload])


def test_a_rate_written_with_other_zeros_is_the_same_rate(home):
    archive("fx.daily", "eurofxref-daily.xml", 10)
    refresh("fx")
    first = rates_on("2014-06-10")

    archive("fx.hist_90d", "eurofxref-hist-90d.xml", 13)
    refresh("fx")

    assert len(first) == 32
    assert rates_on("2014-06-10") == first


def rates_on(day):
    return {rate.currency_id: str(rate.per_euro) for rate in Rate.objects.filter(day=day)}


def test_rates_of_a_day_no_longer_listed_stay(home):
    archive("fx.hist_90d", "eurofxref-hist-90d.xml", 13)
    archive("fx.hist_90d", "eurofxref-daily.xml", 14)

    refresh("fx")

    assert Rate.objects.count() == 4 * 32
    assert Currency.objects.get(code="USD").rates.count() == 4


def test_the_rollup_gives_each_currency_s_month(home):
    archive("fx.hist_90d", "eurofxref-hist-90d.xml", 13)

    refresh("fx")

    monthly = rollup_model("fx_monthly")._default_manager.filter(currency_id="USD")
    assert list(
        monthly.values_list("month", "day_count", "per_euro_min", "per_euro_max", "per_euro_last")
    ) == [(date(2014, 6, 1), 4, Decimal("1.3528"), Decimal("1.3547"), Decimal("1.3534"))]
