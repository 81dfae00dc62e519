"""The quakes source under the scheduler, in a process of its own.

    QUAKES_BASE_URL=http://127.0.0.1:… python -m tests.corpus.live 39

runs the feed again and again, replaying after each run as the server does, until so many runs
are complete and what they archived is in the tables.
"""

import asyncio
import sys

import django


async def extract_on_schedule(run_count: int) -> None:
    from etl.walk import refresh
    from ingest import extractor
    from ingest.models import Outcome, Run
    from ingest.supervisor import Supervisor
    from raw_store.archive import Archive
    from sources.quakes.extract import extract_day

    refreshed = 0

    def after_run(source: str) -> None:
        nonlocal refreshed
        refresh(source)
        refreshed += 1

    # The source's own extractor, on a shorter schedule.
    extractor("quakes.day", every="0.1s", current="all")(extract_day)
    complete = Run.objects.filter(feed="quakes.day", outcome=Outcome.COMPLETE)
    supervisor = Supervisor(Archive(), after_run)
    await supervisor.start()
    while await complete.acount() < run_count:  # noqa: ASYNC110 -- the database says it
        await asyncio.sleep(0.1)
    # One replay may have begun before the last of these runs was archived; the next one did not.
    enough = refreshed + 2
    while refreshed < enough:  # noqa: ASYNC110 -- set from another thread
        await asyncio.sleep(0.1)
    await supervisor.stop()


if __name__ == "__main__":
    django.setup()
    asyncio.run(extract_on_schedule(int(sys.argv[1])))
