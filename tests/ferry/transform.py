"""One body of the company: `{"lines": [...], "stops": [...]}`."""

from reshape import transform

from .models import Line, Stop


@transform("ferry.timetable")
def transform_timetable(payload):
    body = payload.json()
    for line in body.get("lines", []):
        yield Line.row(**line)
    for stop in body.get("stops", []):
        yield Stop.row(**stop)
