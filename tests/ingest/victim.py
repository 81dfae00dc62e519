"""A process that extracts and is killed: `python -m tests.ingest.victim ORIGIN_URL`.

For each line on standard input, the last page to fetch, it forks a child that runs the feed once,
and says the child's number; so a kill costs no start-up. A child prints what was
acknowledged as soon as it can see it.
"""

import asyncio
import contextlib
import os
import sys
from uuid import UUID

import django

FEED = "orchard.pages"


def main(origin: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.ingest.server_settings"
    django.setup()
    # Imported here once, for all children.
    import ingest.runs  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(extract(origin, int(line)))
            finally:
                os._exit(0)
        say("started", child)
        os.waitpid(child, 0)
        say("ended", child)


async def extract(origin: str, last_page: int) -> None:
    from ingest import extractor
    from ingest.runs import run_feed
    from raw_store.archive import Archive
    from raw_store.open_segment import SealLimits
    from raw_store.writer import Writer

    class OftenSealing(Archive):
        def writer(self, feed: str, run_id: UUID, *, limits: SealLimits | None = None) -> Writer:
            return super().writer(feed, run_id, limits=SealLimits(rows=8))

    @extractor(FEED)
    async def pages(client):
        first = (client.watermark or 0) + 1
        async for answer in client.map(
            (f"{origin}/{page}" for page in range(first, last_page + 1)), concurrency=4
        ):
            client.advance(int(answer.text))

    watching = asyncio.create_task(tell_what_is_acknowledged())
    run = await run_feed(FEED, OftenSealing())
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    say("acknowledged", run.id, run.payload_count)


async def tell_what_is_acknowledged() -> None:
    from ingest.models import Run

    told = 0
    while True:
        run = await Run.objects.order_by("-started_at").afirst()
        if run and run.pid == os.getpid() and run.payload_count > told:
            told = run.payload_count
            say("acknowledged", run.id, told)
        await asyncio.sleep(0.005)


def say(*words: object) -> None:
    # One write, so that a kill tears no line.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


if __name__ == "__main__":
    main(sys.argv[1])
