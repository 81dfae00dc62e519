"""Ours, in a process of its own: a feed whose extractor asks for every page.

    python -m bench.extract.ours ADDRESS PAGES CONCURRENCY HOME [again]     prints one JSON object

`again`: a second run over pages that have not changed, each of which is answered with a 304 and
given to the extractor as it was archived.

All of a run is in the time: opening it, archiving, sealing, fsync, the index, its end.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from . import lateness

FEED = "bench.pages"


def main() -> None:
    address, pages, concurrency, home = (
        sys.argv[1],
        int(sys.argv[2]),
        int(sys.argv[3]),
        Path(sys.argv[4]),
    )
    # The origin is on the loopback.
    os.environ["ALLOW_PRIVATE"] = "127.0.0.0/8"
    from bench.archive.home import set_up

    set_up(home)
    again = sys.argv[5:] == ["again"]
    print(json.dumps(asyncio.run(_extract(address, pages, concurrency, again=again))))


async def _extract(
    address: str, pages: int, concurrency: int, *, again: bool = False
) -> dict[str, object]:
    from ingest import extractor
    from ingest.runs import run_feed
    from raw_store.archive import Archive
    from raw_store.long_lived import settle_in

    # As `manage.py extract` and the server do.
    settle_in()
    _ask_more_at_once(concurrency)
    size = 0

    @extractor(FEED)
    async def every_page(client):  # type: ignore[no-untyped-def]
        numbers = iter(range(pages))

        async def some() -> None:
            nonlocal size
            for number in numbers:
                response = await client.get(f"{address}/p/{number:05d}.json")
                size += len(response.content)

        await asyncio.gather(*(some() for _ in range(concurrency)))

    if again:
        await run_feed(FEED, Archive())
        size = 0
    late: list[float] = []
    ticking = asyncio.create_task(lateness.measure(late))
    started, computed = time.perf_counter(), time.process_time()
    run = await run_feed(FEED, Archive())
    work, cpu = time.perf_counter() - started, time.process_time() - computed
    ticking.cancel()
    assert (run.outcome, run.payload_count) == ("complete", pages), run.error
    return {"pages": pages, "bytes": size, "work_s": work, "cpu_s": cpu, **lateness.summary(late)}


def _ask_more_at_once(concurrency: int) -> None:
    """Raise the eight requests at a time that a host is asked by default."""
    from ingest import runs
    from ingest.politeness.paces import Paces

    raised = Paces(concurrency=concurrency)
    runs.shared_paces = lambda: raised  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
