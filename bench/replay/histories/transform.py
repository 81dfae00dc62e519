"""Two feeds, each with the turns its publisher took over the years."""

from collections.abc import Iterator
from datetime import UTC, datetime

from raw_store.payload import Payload
from reshape import transform
from reshape.models import Row

from .models import Incident, Outage, Report


@transform("histories.calfire")
def transform_calfire(payload: Payload) -> Iterator[Row]:
    found = payload.json()
    for fire in found["Incidents"] if isinstance(found, dict) else found:
        counties = fire["Counties"] if "Counties" in fire else [fire["County"]]
        yield Incident.row(
            code=fire["UniqueId"],
            name=fire["Name"],
            county=", ".join(filter(None, counties)),
            started_on=fire["Started"][:10] if fire["Started"] else None,
            lat=fire["Latitude"],
            lon=fire["Longitude"],
            acres=fire["AcresBurned"],
            contained_percent=fire["PercentContained"],
            crew_count=fire.get("CrewsInvolved"),
            engine_count=fire.get("Engines"),
        )


@transform("histories.pge")
def transform_pge(payload: Payload) -> Iterator[Row]:
    for outage in payload.json():
        # A number until December 2025, text since.
        code = str(outage["F_OUTAGE_ID"])
        started = outage["OUTAGE_START"]
        yield Outage.row(
            code=code,
            city=outage["CITY"] or "",
            cause=outage["OUTAGE_CAUSE"] or "",
            started_at=datetime.fromtimestamp(started / 1000, UTC) if started else None,
            lat=outage["OUTAGE_LATITUDE"],
            lon=outage["OUTAGE_LONGITUDE"],
        )
        yield Report.row(
            outage_id=code,
            seen_at=payload.fetched_at,
            customer_count=outage["EST_CUSTOMERS"],
            crew_status=outage["CREW_CURRENT_STATUS"] or "",
        )
