"""From the bank's XML to rates. Both feeds have one shape: days, and in each day currencies.

<Cube><Cube time="2025-05-09"><Cube currency="USD" rate="1.1252"/>…
"""

from decimal import Decimal
from typing import Any

from reshape import Payload, Rows, transform

from .models import Currency, Rate

_CUBE = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}Cube"


@transform("fx.daily")
def transform_daily(payload: Payload) -> Rows:
    return _rows(payload.xml())


@transform("fx.hist_90d")
def transform_hist_90d(payload: Payload) -> Rows:
    return _rows(payload.xml())


def _rows(envelope: Any) -> Rows:
    days = envelope.findall(f"{_CUBE}/{_CUBE}")
    if not days:
        raise ValueError(f"{envelope.tag} lists no day.")
    for day in days:
        for quote in day:
            yield Currency.row(code=quote.attrib["currency"])
            yield Rate.row(
                day=day.attrib["time"],
                currency_id=quote.attrib["currency"],
                per_euro=Decimal(quote.attrib["rate"]),
            )
