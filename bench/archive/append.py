"""Append: payloads of 10 KB through the archive's writers, against files of 500 rows by pyarrow.

Sealing, fsync and the index's commit are in the time on our side; writing, fsync and rename on the
other, which keeps 5 columns where the archive keeps 28.
"""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from raw_store.archive import Archive
from raw_store.payload import Payload, digest

from . import clock, floors, home, payloads
from .home import FEED, RESULTS

Result = dict[str, object]


def measure(folder: Path, *, count: int = 5_000, rounds: int = 5) -> Result:
    pages = payloads.pages(count)
    digested = [
        replace(page, body_digest=digest(page.body or b""), body_size=len(page.body or b""))
        for page in pages
    ]
    recurring = payloads.pages(count, recurring=0.1, seed=2)
    _round(folder, pages[:500], digested[:500], recurring[:500], 1)
    taken = _round(folder, pages, digested, recurring, rounds)
    size = sum(len(page.body or b"") for page in pages)
    dearest = clock.profile(
        lambda: _ours(folder / "profiled", pages), count, RESULTS / "append-profile.txt"
    )
    return {
        "payloads": count,
        "mean_body_bytes": size // count,
        "rounds": rounds,
        "us_per_payload": {
            name: round(clock.median(times) * 1e6 / count, 1) for name, times in taken.items()
        },
        "mb_per_s": {
            name: round(size / 1e6 / clock.median(times), 1) for name, times in taken.items()
        },
        "against_floor": {
            name: clock.speed_ratio(taken, name, floor)
            for name, floor in (
                ("writer", "floor"),
                ("writer_digests_given", "floor"),
                ("writer_10pct_recurring", "floor_10pct_recurring"),
                ("async_writer", "floor_async"),
            )
        },
        "profile": dearest,
    }


def _round(
    folder: Path,
    pages: list[Payload],
    digested: list[Payload],
    recurring: list[Payload],
    rounds: int,
) -> dict[str, list[float]]:
    rows, rows_recurring = floors.as_rows(pages), floors.as_rows(recurring)
    at = folder / "append"
    ways: dict[str, Callable[[], object]] = {
        "floor": lambda: floors.append_naively(at, rows),
        "writer": lambda: _ours(at, pages),
        "writer_digests_given": lambda: _ours(at, digested),
        "floor_10pct_recurring": lambda: floors.append_naively(at, rows_recurring),
        "writer_10pct_recurring": lambda: _ours(at, recurring),
        "floor_async": lambda: asyncio.run(floors.append_naively_async(at, rows)),
        "async_writer": lambda: asyncio.run(_ours_async(at, pages)),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            taken[name].append(clock.seconds(ways[name]))
            shutil.rmtree(at)
            home.forget_everything()
    return taken


def _ours(at: Path, pages: list[Payload]) -> None:
    count = Archive(str(at)).append_all(FEED, pages)
    assert count == len(pages), count


async def _ours_async(at: Path, pages: list[Payload]) -> None:
    async with Archive(str(at)).writer(FEED, pages[0].run_id) as writer:
        for page in pages:
            await writer.append(page)
    assert writer.count == len(pages), writer.count
