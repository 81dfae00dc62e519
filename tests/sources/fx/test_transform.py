"""The fx transforms, on a daily file of 2014 and the first four days of a 90-day file."""

from decimal import Decimal
from pathlib import Path

import pytest

from sources.fx.models import Currency, Rate
from sources.fx.transform import transform_daily, transform_hist_90d
from tests.sources.recorded import recorded, rows_of

PAYLOADS = Path(__file__).parent / "payloads"
LIVE = "https://www.ecb.europa.eu/stats/eurofxref"


def daily():
    payload = recorded(
        "fx.daily", PAYLOADS / "eurofxref-daily.xml", url=f"{LIVE}/eurofxref-daily.xml"
    )
    return list(transform_daily(payload))


def hist_90d():
    payload = recorded(
        "fx.hist_90d", PAYLOADS / "eurofxref-hist-90d.xml", url=f"{LIVE}/eurofxref-hist-90d.xml"
    )
    return list(transform_hist_90d(payload))


def test_the_daily_file_gives_one_rate_per_currency():
    rows = daily()

    assert len(rows_of(Rate, rows)) == len(rows_of(Currency, rows)) == 32
    assert rows_of(Rate, rows)[0] == {
        "day": "2014-06-10",
        "currency_id": "USD",
        "per_euro": Decimal("1.3547"),
    }


def test_the_90_day_file_gives_one_rate_per_day_and_currency():
    rates = rows_of(Rate, hist_90d())

    assert len({(rate["day"], rate["currency_id"]) for rate in rates}) == 4 * 32


def test_both_files_agree_whatever_zeros_they_write():
    agreed = {(rate["day"], rate["currency_id"]): rate for rate in rows_of(Rate, hist_90d())}

    differently_written = [
        rate
        for rate in rows_of(Rate, daily())
        if str(agreed[rate["day"], rate["currency_id"]]["per_euro"]) != str(rate["per_euro"])
    ]

    assert len(differently_written) == 6
    for rate in differently_written:
        assert rate == agreed[rate["day"], rate["currency_id"]]


def test_a_file_without_days_is_refused():
    payload = recorded("fx.daily", b"<html><body>Maintenance</body></html>", url=LIVE)

    with pytest.raises(ValueError, match="html lists no day"):
        list(transform_daily(payload))
