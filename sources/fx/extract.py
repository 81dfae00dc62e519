"""The euro reference rates of the European Central Bank: today's, and those of 90 days.

Rates are set on working days at about 16:00 Central European time. A rate that is no longer
listed has grown old; hence `current="all"`: every rate ever listed stays.
"""

import os

from ingest import Client, extractor

LIVE_URL = "https://www.ecb.europa.eu/stats/eurofxref"


@extractor("fx.daily", cron="30 15 * * 1-5", current="all")
async def extract_daily(client: Client) -> None:
    response = await client.get(_url("eurofxref-daily.xml"))
    response.raise_for_status()


@extractor("fx.hist_90d", cron="45 15 * * 5", current="all")
async def extract_hist_90d(client: Client) -> None:
    response = await client.get(_url("eurofxref-hist-90d.xml"))
    response.raise_for_status()


def _url(name: str) -> str:
    return f"{os.environ.get('FX_BASE_URL', LIVE_URL)}/{name}"
