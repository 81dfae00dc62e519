"""From the map's layer to snapshots, outages and sightings.

The server nests each outage as `features[].attributes`; the recorded history holds the plain
list that its scraper made of them. Both are read.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from reshape import Payload, Rows, transform

from .models import City, Outage, Sighting, Snapshot

RECORD_LIMIT = 2000
"""The server gives no more records than this to one request."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@transform("pge.outages")
def transform_outages(payload: Payload) -> Rows:
    outages = _outages(payload.json())
    yield Snapshot.row(
        taken_at=payload.fetched_at,
        outage_count=len(outages),
        is_cut_off=len(outages) >= RECORD_LIMIT,
    )
    # Storms put hundreds of outages into a few cities.
    for city in dict.fromkeys(outage["CITY"] for outage in outages):
        yield City.row(name=city)
    for outage in outages:
        code = _code(outage["F_OUTAGE_ID"])
        yield Outage.row(
            code=code,
            city_id=outage["CITY"],
            extent=outage["OUTAGE_EXTENT"],
            device=outage["OUTAGE_DEVICE_ID"],
            circuit=outage["OUTAGE_CIRCUIT_ID"],
            latitude=outage["OUTAGE_LATITUDE"],
            longitude=outage["OUTAGE_LONGITUDE"],
            started_at=_moment(outage["OUTAGE_START"]),
        )
        yield Sighting.row(
            outage_id=code,
            seen_at=payload.fetched_at,
            customer_count=outage["EST_CUSTOMERS"],
            crew_status=outage["CREW_CURRENT_STATUS"],
            cause=outage["OUTAGE_CAUSE"] or "",
            revised_at=_moment(outage["LAST_UPDATE"]),
            restoration_expected_at=_moment(outage["CURRENT_ETOR"]),
        )


def _outages(document: Any) -> list[dict[str, Any]]:
    if isinstance(document, list):
        return document
    return [feature["attributes"] for feature in document["features"]]


def _code(code: int | str) -> str:
    """A number until 2025-12-04, text since."""
    if isinstance(code, bool) or not isinstance(code, int | str):
        raise ValueError(f"F_OUTAGE_ID is {code!r}; known are whole numbers and text.")
    return str(code)


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else _EPOCH + timedelta(milliseconds=milliseconds)
