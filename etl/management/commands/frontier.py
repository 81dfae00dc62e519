"""`manage.py frontier [FEED]`: where crawls stand, what failed, and how to begin one anew."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from ingest.frontier import store
from ingest.models import Crawl, FrontierState, FrontierUrl
from raw_store import commands

_SHOWN = 20


class Command(commands.Command):
    help = (
        "Where crawls stand: addresses done, waiting, leased and failed. See docs/crawls.md. "
        "Without a feed, the newest crawl of each."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("feed", nargs="?", metavar="FEED", help="for example wiki.pages")
        parser.add_argument(
            "--failed", action="store_true", help="list what could not be fetched, and why"
        )
        parser.add_argument(
            "--retry", action="store_true", help="let the open crawl ask again for what failed"
        )
        parser.add_argument(
            "--restart",
            action="store_true",
            help="forget the open crawl: the next run begins anew; the archive keeps its pages",
        )

    def handle(
        self, *, feed: str | None, failed: bool, retry: bool, restart: bool, **options: Any
    ) -> None:
        crawls = Crawl.objects.filter(feed=feed) if feed else Crawl.objects.all()
        newest = {crawl.feed: crawl for crawl in crawls.order_by("feed", "pk")}
        if retry or restart:
            if feed is None:
                raise CommandError("Name the feed whose crawl is meant.")
            self._change(newest.get(feed), feed, restart=restart)
            return
        for crawl in newest.values():
            self._tell(crawl)
            if failed:
                self._list_failed(crawl)
        if not newest:
            self.stdout.write("No crawl was begun: an extractor begins one with client.crawl(…).")

    def _change(self, crawl: Crawl | None, feed: str, *, restart: bool) -> None:
        if crawl is None or crawl.finished_at is not None:
            raise CommandError(f"{feed} has no open crawl; its next run begins one.")
        if restart:
            store.forget(crawl)
            crawl.delete()
            self.stdout.write(f"{feed}: forgotten; the next run begins anew")
        else:
            self.stdout.write(f"{feed}: {store.retry_failed(crawl):,} addresses wait again")

    def _tell(self, crawl: Crawl) -> None:
        begun = f"{crawl.feed}: begun {crawl.started_at:%Y-%m-%d %H:%M}"
        if crawl.finished_at:
            self.stdout.write(
                f"{begun}, finished {crawl.finished_at:%Y-%m-%d %H:%M}, {crawl.done_count:,} done, "
                f"{crawl.failed_count:,} failed"
            )
            return
        counts = ", ".join(f"{each:,} {name}" for name, each in store.count(crawl).items())
        self.stdout.write(f"{begun}, {counts}")

    def _list_failed(self, crawl: Crawl) -> None:
        rows = FrontierUrl.objects.filter(crawl=crawl, state=FrontierState.FAILED).order_by("pk")
        for row in rows[:_SHOWN]:
            self.stdout.write(f"  {row.url}: {row.error}")
        if (more := rows.count() - _SHOWN) > 0:
            self.stdout.write(f"  and {more:,} more")
