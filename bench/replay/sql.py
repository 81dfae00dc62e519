"""`python -m bench.replay.sql`: a transform in SQL, against bare DuckDB with the same SELECT.

The archive holds payloads of 50 records each in one feed. Ours reads its segments and writes
record files and outcomes, as a replay does. Bare DuckDB reads the same files with
read_parquet and writes one Parquet file. Both do so with two SELECTs: one in which DuckDB gives
the values their types, and one that leaves them JSON, which ours then judges and converts, and
bare DuckDB writes as they are. Prints one line, keeps build/bench/replay-sql.json.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.archive import clock, home, machine

if TYPE_CHECKING:
    from raw_store.archive import Archive
    from raw_store.payload import Payload
    from reshape.registry import Transform

FEED = "quakes.day"
RECORDS_EACH = 50
_FIELDS = {
    "code": "id", "network_id": "net", "kind": "type", "place": "place", "occurred_at": "time",
    "updated_at": "updated", "latitude": "lat", "longitude": "lon", "depth_km": "depth",
    "magnitude": "mag", "is_rounded": "rounded",
}  # fmt: skip
_TYPES = {
    "latitude": "DOUBLE", "longitude": "DOUBLE", "depth_km": "DOUBLE", "magnitude": "DOUBLE",
    "is_rounded": "BOOLEAN", "occurred_at": "TIMESTAMPTZ", "updated_at": "TIMESTAMPTZ",
}  # fmt: skip


def statement(*, is_typed: bool) -> str:
    """The SELECT: with the values as JSON, for the model to judge, or typed by DuckDB."""
    kinds = {
        key: _TYPES.get(name, "VARCHAR") if is_typed else "JSON" for name, key in _FIELDS.items()
    }
    columns = ", ".join(f"record.{key} AS {name}" for name, key in _FIELDS.items())
    return f"""
        WITH records AS (
            SELECT fetch_id, unnest(from_json(json -> '$.features', '[{json.dumps(kinds)}]'))
                AS record
            FROM payloads
        )
        SELECT fetch_id, {columns} FROM records
    """


def payloads(count: int) -> "Iterator[Payload]":
    """Made-up days of a seismic agency, each of 50 quakes."""
    import random

    from tests.making import make_payload

    chance = random.Random(1)
    for number in range(count):
        features = [
            {
                "id": f"ci{number * RECORDS_EACH + place:08d}",
                "net": chance.choice(["ci", "nc", "us", "ak"]),
                "type": "earthquake",
                "place": f"{chance.randrange(90)} km NNW of Somewhere, California",
                "time": f"2026-01-{1 + place % 28:02d}T{place % 24:02d}:00:00Z",
                "updated": f"2026-02-{1 + place % 28:02d}T{place % 24:02d}:00:00Z",
                "lat": round(chance.uniform(-90, 90), 4),
                "lon": round(chance.uniform(-180, 180), 4),
                "depth": round(chance.uniform(0, 600), 2),
                "mag": chance.choice([None, round(chance.uniform(-1, 9), 2)]),
                "rounded": False,
            }
            for place in range(RECORDS_EACH)
        ]
        body = {"metadata": {"count": RECORDS_EACH}, "features": features}
        url = f"http://quakes.example/{number}"
        yield make_payload(FEED, body, minute=number, url=url, sequence=number)


def measure(folder: Path, *, count: int, rounds: int) -> dict[str, Any]:
    """Seconds and ratios over interleaved rounds; `folder` is the home that Django knows."""
    from bench.archive.memory import peak_mb
    from raw_store.archive import Archive

    archive = Archive()
    archive.append_all(FEED, payloads(count))
    files = home.files_of(folder / "archive")
    ways: dict[str, Callable[[], None]] = {}
    for name, is_typed in {"typed": True, "json": False}.items():
        transform = _transform(folder, is_typed=is_typed)
        ways[f"ours_{name}"] = partial(_ours, transform, archive, folder, count)
        ways[f"bare_{name}"] = partial(_bare, files, folder, count, is_typed=is_typed)
    ways["ours_typed"]()
    ways["ours_json"]()
    peak = peak_mb()
    spent: dict[str, list[float]] = {name: [] for name in ways}
    timed = {name: _on_processor(way, spent[name]) for name, way in ways.items()}
    taken = clock.interleaved(timed, rounds)
    return {
        "payloads": count,
        "records": count * RECORDS_EACH,
        "segments": len(files),
        "body_mb": round(sum(s.body_bytes for s in archive.segments()) / 1e6),
        "rounds": rounds,
        "seconds": {name: clock.median(times) for name, times in taken.items()},
        "processor_seconds": {name: clock.median(times) for name, times in spent.items()},
        "speed": {
            name: clock.speed_ratio(taken, f"ours_{name}", f"bare_{name}")
            for name in ("typed", "json")
        },
        "processor_speed": {
            name: clock.speed_ratio(spent, f"ours_{name}", f"bare_{name}")
            for name in ("typed", "json")
        },
        "peak_mb": peak,
        "machine": machine.describe(),
    }


def _on_processor(way: Callable[[], None], spent: list[float]) -> Callable[[], None]:
    """The same, noting the processor's seconds of this process, all threads together."""

    def work() -> None:
        before = time.process_time()
        way()
        spent.append(time.process_time() - before)

    return work


def _transform(folder: Path, *, is_typed: bool) -> "Transform":
    from reshape.sql_discovery import read_transform

    path = folder / "quake.sql"
    path.write_text(f"-- feed: {FEED}\n{statement(is_typed=is_typed)}", encoding="utf-8")
    return read_transform("quakes", path)


def _ours(transform: "Transform", archive: "Archive", folder: Path, count: int) -> None:
    from reshape.parse import parse_segments

    shutil.rmtree(folder / "records", ignore_errors=True)
    parsed = parse_segments([transform], archive)
    assert parsed.record_count == count * RECORDS_EACH, parsed
    assert parsed.quarantined_count == 0, parsed


def _bare(files: list[Path], folder: Path, count: int, *, is_typed: bool) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        listed = ", ".join(f"'{path}'" for path in files)
        connection.execute(
            "CREATE VIEW payloads AS SELECT *, decode(body)::JSON AS json "
            f"FROM read_parquet([{listed}])"
        )
        written = connection.execute(
            f"COPY ({statement(is_typed=is_typed)}) TO '{folder / 'bare.parquet'}' "
            "(FORMAT parquet, COMPRESSION zstd)"
        ).fetchall()
    assert written == [(count * RECORDS_EACH,)], written


def in_child(folder: Path, *, count: int, rounds: int) -> dict[str, Any]:
    """The same as a part of `python -m bench.replay`."""
    return measure(folder, count=count, rounds=rounds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.replay.sql", description=__doc__)
    parser.add_argument("--payloads", type=int, default=20_000, help="of 50 records each (20,000)")
    parser.add_argument("--rounds", type=int, default=5, help="(5)")
    given = parser.parse_args()
    with home.temporary_folder("replay-sql") as folder:
        home.set_up(folder)
        result = measure(folder, count=given.payloads, rounds=given.rounds)
    file = home.RESULTS / "replay-sql.json"
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    told = [
        f"{name}: {result['seconds'][f'ours_{name}']:.2f} s, bare DuckDB "
        f"{result['seconds'][f'bare_{name}']:.2f} s, speed {result['speed'][name]:.2f} of it "
        f"({result['processor_speed'][name]:.2f} by the processor's seconds)"
        for name in ("typed", "json")
    ]
    print(
        f"{result['records']:,} records of {result['payloads']:,} payloads. {'; '.join(told)}. "
        f"Peak {result['peak_mb']:.0f} MB."
    )


if __name__ == "__main__":
    main()
