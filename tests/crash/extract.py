"""Extraction: a feed with a watermark fetches page after page, sealing every few rows."""

import asyncio
import contextlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from . import harness
from .pages import Pages
from .plain import View
from .work import Work

FEED = "orchard.pages"
PAGES = 24
ROWS = 6


class Extract(harness.Stage):
    name = "extract"
    trials_per_home = 25

    def open(self) -> None:
        self.pages = Pages().__enter__()

    def close(self) -> None:
        self.pages.__exit__()

    def begin(self, home: Path) -> None:
        super().begin(home)
        self.counts: dict[str, int] = {}
        """Run → payloads that it said were acknowledged."""
        self.watermark = 0
        self.has_adopted = False

    def job(self) -> tuple[str, dict[str, Any]]:
        # Every other trial finds the trees as they were.
        self.pages.round = self.report.trials // 2
        return "extract:extract", {"origin": self.pages.url}

    def hear(self, told: dict[str, Any]) -> None:
        if "run" in told:
            self.counts[told["run"]] = told["count"]

    def judge(self, view: View) -> None:
        super().judge(view)
        rows = Counter(row.run_id for row in view.rows.values())
        for run, count in self.counts.items():
            if rows[run] < count:
                text = f"run {run} acknowledged {count} payloads and {rows[run]} are there"
                self.report.violate("lost", text, count - rows[run])
        self._judge_runs(view, rows)

    def _judge_runs(self, view: View, rows: Counter[str]) -> None:
        with self.plain.database() as database:
            runs = database.execute("SELECT id, payload_count FROM ingest_run").fetchall()
            marks = database.execute("SELECT value FROM ingest_watermark").fetchall()
            latest = database.execute("SELECT payload_id FROM raw_store_latestversion").fetchall()
        for run, count in runs:
            if rows[run] < count or (rows[run] > count and not self.has_adopted):
                text = f"run {run} counts {count} payloads and has {rows[run]}"
                self.report.violate("ahead", text)
        watermark = int(marks[0][0]) if marks else 0
        fetched = {
            int(row.url.rpartition("/")[2])
            for row in view.rows.values()
            if "/page/" in row.url and row.status == 200
        }
        if missing := set(range(1, watermark + 1)) - fetched:
            text = f"the watermark is {watermark} and page {min(missing)} is not there"
            self.report.violate("ahead", text)
        if watermark < self.watermark:
            text = f"the watermark fell from {self.watermark} to {watermark}"
            self.report.violate("lost", text)
        self.watermark = watermark
        held = {row.fetch_id.replace("-", "") for row in view.rows.values() if row.holds_body}
        for (payload_id,) in latest:
            if payload_id not in held:
                text = f"the index names {payload_id} as a version; no row holds it"
                self.report.violate("other", text)

    def check(self, *, ended: bool) -> None:
        super().check(ended=ended)
        if ended:
            # A run that was left in peace goes on where the killed ones were, to its end.
            outcomes = self.plain.query("SELECT outcome FROM ingest_run ORDER BY started_at")
            wrong = {outcome for (outcome,) in outcomes[:-1]} - {"complete", "interrupted"}
            if wrong or outcomes[-1] != ("complete",):
                self.report.violate("other", f"runs ended as {outcomes}")

    def end(self) -> None:
        self.report.acknowledged += sum(self.counts.values())
        self.has_adopted = True
        super().end()


def extract(work: Work, origin: str, early: bool = False) -> None:
    """Run the feed once, and tell of each acknowledgement; `early` breaks a promise on purpose."""
    work.move_in()
    steps = work.watch()
    work.tell(started=True)
    run = asyncio.run(run_pages(work, origin, early=early))
    work.tell(run=run.id.hex, count=run.payload_count)
    if run.outcome != "complete":
        raise AssertionError(f"the run ended as {run.outcome}: {run.error}\n{run.traceback}")
    work.tell(steps=steps.counts)


async def run_pages(work: Work, origin: str, *, early: bool = False) -> Any:
    """Fetch the pages after the watermark, and a few trees; return the run.

    With `early` the watermark is committed with each page, which may not be sealed yet.
    """
    import httpx

    from ingest import extractor
    from ingest.models import Watermark
    from ingest.runs import run_feed
    from raw_store.archive import Archive
    from raw_store.open_segment import SealLimits

    class OftenSealing(Archive):
        def writer(self, feed, run_id, *, limits=None):
            self.last = super().writer(feed, run_id, limits=SealLimits(rows=ROWS))
            return self.last

    @extractor(FEED)
    async def pages(client):
        first = (client.watermark or 0) + 1
        for number in range(3):
            await client.get(f"{origin}/tree/{number}")
        await client.get(f"{origin}/old/1")
        await client.get(f"{origin}/nowhere")
        addresses = (f"{origin}/page/{page}" for page in range(first, first + PAGES))
        async for answer in client.map(addresses, concurrency=4):
            page = int(answer.url.path.rpartition("/")[2])
            client.advance(page)
            if early:
                values = {"value": page, "run_id": UUID(int=0), "advanced_at": datetime.now(UTC)}
                await Watermark.objects.aupdate_or_create(feed=FEED, defaults=values)

    archive = OftenSealing()
    telling = asyncio.create_task(_tell(work, archive))
    try:
        inner = httpx.AsyncHTTPTransport(verify=False)  # reading certificates takes long
        return await run_feed(FEED, archive, inner=inner)
    finally:
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling


async def _tell(work: Work, archive: Any) -> None:
    """Tell how many payloads the writer says are acknowledged, as soon as it does."""
    told = 0
    while True:
        writer = getattr(archive, "last", None)
        if writer is not None and writer.count > told:
            told = writer.count
            work.tell(run=writer.run_id.hex, count=told)
        await asyncio.sleep(0.002)
