"""One body: `{"page": …, "records": [...]}`."""

from collections.abc import Iterator

from raw_store.payload import Payload
from reshape import transform
from reshape.models import Row

from .models import Fire


@transform("fires.pages")
def transform_page(payload: Payload) -> Iterator[Row]:
    for record in payload.json()["records"]:
        yield Fire.row(
            code=record["id"],
            lat=record["lat"],
            lon=record["lon"],
            acres=record["acres"],
            crews=record["crews"],
            engines=record["engines"],
            name=record["name"],
            updated=record["updated"],
        )
