"""From one payload to rows. Pure: no network, no database, no clock.

Take values with `[...]`: what the publisher promises and does not send then raises, and the
payload goes to quarantine, where it waits for a transform that can read it.
"""

from reshape import Payload, Rows, transform

from .models import Reading, Station


@transform("source_name.readings")
def transform_readings(payload: Payload) -> Rows:
    document = payload.json()
    for station in document["stations"]:
        yield Station.row(code=station["id"], name=station["name"])
    for reading in document["readings"]:
        yield Reading.row(
            station_id=reading["station"],
            taken_at=reading["taken_at"],
            value=reading["value"],
        )
