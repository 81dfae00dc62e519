"""One process that crawls a site, to be killed or to have company.

    python -m tests.ingest.frontier.worker ORIGIN CONCURRENCY AT_RISK

Its home is `ROOTCELLAR_TEST_HOME`, its database `DATABASE_URL` where that is set. At its end it
prints how its run ended and the most memory it took.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

FEED = "orchard.pages"


def main(origin: str, concurrency: int, at_risk: int) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.crash.settings")
    import django

    django.setup()
    from ingest import Client, extractor
    from ingest.runs import run_feed
    from raw_store.archive import Archive

    @extractor(FEED, allow_private=["127.0.0.0/8"])
    async def pages(client: Client) -> None:
        async for _ in client.crawl(origin, concurrency=concurrency, at_risk=at_risk):
            pass

    run = asyncio.run(run_feed(FEED, Archive()))
    status = Path("/proc/self/status").read_text().splitlines()
    peak_kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    told = {"outcome": str(run.outcome), "error": run.error, "payloads": run.payload_count}
    sys.stdout.write(json.dumps({**told, "peak_mb": peak_kb // 1024}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
