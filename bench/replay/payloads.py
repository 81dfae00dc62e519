"""The payloads of the benchmark: pages of records, always the same ones for the same numbers."""

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

    from raw_store.payload import Payload

START = datetime(2026, 1, 1, tzinfo=UTC)
PAGES_PER_GROUP = 500
_WORDS = [
    *("alpha", "bravo", "carbon", "delta", "ember", "fjord", "granite", "harbor"),
    *("indigo", "juniper", "kelp", "lagoon", "meadow", "nectar", "onyx", "prairie"),
]


def body(page: int, records_each: int, visit: int = 0) -> bytes:
    """One page; a later `visit` finds other figures for the same records."""
    chance = random.Random(f"{page} {visit}")
    records = [_record(chance, page * records_each + place, visit) for place in range(records_each)]
    return orjson.dumps({"page": page, "records": records})


def _record(chance: random.Random, number: int, visit: int) -> dict[str, Any]:
    updated = START + timedelta(seconds=chance.randrange(30_000_000))
    return {
        "id": f"rec-{number:08d}",
        "lat": round(chance.uniform(32, 42), 6),
        "lon": round(chance.uniform(-124, -114), 6),
        "acres": round(chance.expovariate(0.002), 2),
        "crews": chance.randrange(200),
        "engines": chance.randrange(90),
        "name": " ".join(chance.choices(_WORDS, k=3)),
        "updated": updated.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def pages(numbers: Iterable[int], records_each: int, visit: int = 0) -> "Iterator[Payload]":
    """The same pages as payloads of the benchmark's feed, each of a URL of its own."""
    from raw_store.ids import derived_id
    from raw_store.payload import Payload, request_key

    from .home import FEED

    run_id = derived_id(START, "run", str(visit))
    for number in numbers:
        at = START + timedelta(days=visit, milliseconds=number)
        url = f"http://fires.example/p/{number}"
        yield Payload(
            fetch_id=derived_id(at, str(number), str(visit)),
            run_id=run_id,
            sequence=number,
            feed=FEED,
            url=url,
            request_key=request_key("GET", url),
            status=200,
            fetched_at=at,
            content_type="application/json",
            body=body(number, records_each, visit),
        )


def write_bodies(path: "Path", wanted: Iterable[tuple[int, int]], records_each: int) -> None:
    """The same bodies, of (page, visit), as the plain Parquet file that other ways read."""
    schema = pa.schema([("url", pa.string()), ("body", pa.binary())])
    waiting: list[tuple[str, bytes]] = []

    def flush(writer: pq.ParquetWriter) -> None:
        if waiting:
            columns = [list(column) for column in zip(*waiting, strict=True)]
            writer.write_table(pa.table(columns, schema=schema))
            waiting.clear()

    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        for page, visit in wanted:
            waiting.append((f"http://fires.example/p/{page}", body(page, records_each, visit)))
            if len(waiting) == PAGES_PER_GROUP:
                flush(writer)
        flush(writer)
