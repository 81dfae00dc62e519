"""How fast payloads are archived, read back and replayed, in a folder with SQLite.

Prints one JSON object. Each payload is a different hour of the quakes feed with ten quakes in it.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raw_store.payload import Payload

PAYLOADS = 2_000
QUAKES_EACH = 10
START = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="rootcellar-bench-") as home:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "etl.settings",
            "ROOTCELLAR_HOME": home,
            "DATABASE_URL": "",
            "ARCHIVE_URL": "",
        }
        import django

        django.setup()
        print(json.dumps(measure(), indent=2))


def measure() -> dict[str, float]:
    from django.core.management import call_command

    from etl.walk import refresh
    from raw_store.archive import Archive

    call_command("migrate", verbosity=0)
    archive, payloads = Archive(), list(make_payloads())
    append_s = seconds(lambda: archive.append_all("quakes.hour", payloads))
    scan_s = seconds(lambda: sum(1 for _ in archive.scan("quakes.hour")))
    replay_s = seconds(lambda: refresh("quakes"))
    again_s = seconds(lambda: refresh("quakes"))
    return {
        "payloads": PAYLOADS,
        "rows": PAYLOADS * QUAKES_EACH,
        "append_payloads_per_s": round(PAYLOADS / append_s),
        "scan_payloads_per_s": round(PAYLOADS / scan_s),
        "replay_rows_per_s": round(PAYLOADS * QUAKES_EACH / replay_s),
        "replay_without_news_s": round(again_s, 3),
    }


def make_payloads() -> "Iterator[Payload]":
    from raw_store.ids import derived_id
    from raw_store.payload import Payload, digest, request_key

    url = "http://quakes.example/all_hour.geojson"
    for number in range(PAYLOADS):
        moment = START + timedelta(hours=number)
        body = json.dumps(feed_at(number, moment)).encode()
        fetch_id = derived_id(moment, "bench", str(number))
        yield Payload(
            fetch_id=fetch_id,
            run_id=derived_id(moment, "run", str(number)),
            sequence=0,
            feed="quakes.hour",
            url=url,
            request_key=request_key("GET", url),
            status=200,
            fetched_at=moment,
            body=body,
            body_digest=digest(body),
            body_size=len(body),
            payload_id=fetch_id,
        )


def feed_at(number: int, moment: datetime) -> dict[str, object]:
    """One hour's GeoJSON, as the agency writes it."""
    milliseconds = int(moment.timestamp() * 1000)
    unknown = ("felt", "cdi", "mmi", "alert", "nst", "dmin", "gap", "rms")
    return {
        "type": "FeatureCollection",
        "metadata": {"count": QUAKES_EACH},
        "features": [
            {
                "id": f"xx{number}-{quake}",
                "properties": {
                    "net": "xx",
                    "type": "earthquake",
                    "status": "reviewed",
                    "place": f"{quake} km N of Nowhere",
                    "time": milliseconds + quake,
                    "updated": milliseconds + quake,
                    "mag": quake / 2,
                    "magType": "ml",
                    "sig": quake,
                    "tsunami": 0,
                    **dict.fromkeys(unknown),
                },
                "geometry": {"coordinates": [quake, quake, 10]},
            }
            for quake in range(QUAKES_EACH)
        ],
    }


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
