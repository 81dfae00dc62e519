"""`manage.py backfill FEED --from … --to …`: fetch the past of a feed, partition by partition."""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from etl.interrupting import run_until_stopped
from etl.on_change import refresh_unasked
from ingest import partitions
from ingest.backfill import ensure_backfillable, run_backfill
from ingest.errors import ExtractorFailed, IngestError
from ingest.models import BackfillPartition, Outcome, PartitionState, Run
from ingest.windows import moment
from raw_store import commands
from raw_store.archive import Archive
from raw_store.errors import ArchiveError
from raw_store.progress import Progress
from raw_store.store_check import ensure_store
from reshape.errors import ReshapeError
from reshape.registry import transforms_of
from warehouse.errors import WarehouseError

_SHOWN_FAILURES = 10


class Command(commands.LongCommand):
    help = (
        "Fetch the past of a feed whose extractor asks for client.windows(…), beside its live runs "
        "and without moving its watermark. Without --from it goes on with what is left. "
        "See docs/incremental.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("feed", nargs="?", metavar="FEED", help="for example shop.orders")
        parser.add_argument("--from", dest="since", help="a date or time, in UTC: 2024-01-01")
        parser.add_argument("--to", dest="until", help="the first moment that is not wanted (now)")
        parser.add_argument(
            "--partition", choices=partitions.SIZES, default="day", help="what is done or not (day)"
        )
        parser.add_argument("--concurrency", type=int, default=2, help="partitions at a time (2)")
        parser.add_argument(
            "--newest-first", action="store_true", help="begin with the newest partition"
        )
        parser.add_argument(
            "--again", action="store_true", help="fetch partitions again that are done"
        )
        parser.add_argument("--no-replay", action="store_true", help="archive only")
        parser.add_argument(
            "--status", action="store_true", help="say what is done, left and failed, and stop"
        )

    def handle(
        self,
        *,
        feed: str | None,
        since: str | None,
        until: str | None,
        partition: str,
        concurrency: int,
        newest_first: bool,
        again: bool,
        no_replay: bool,
        status: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        if status:
            self._status(feed)
            return
        if feed is None:
            raise CommandError(
                "Name a feed: `manage.py backfill shop.orders --from 2024-01-01`. "
                "`manage.py backfill --status` lists what was begun."
            )
        try:
            ensure_backfillable(feed)
            self._plan(feed, since, until, partition, again)
            ensure_store(settings.ARCHIVE_URL)
        except (IngestError, ArchiveError) as error:
            raise CommandError(str(error)) from error
        run = self._fetch(feed, concurrency, newest_first, quiet=verbosity == 0)
        if run is not None and run.payload_count and not no_replay:
            self._replay(feed.partition(".")[0])
        if run is not None and run.outcome != Outcome.COMPLETE:
            raise CommandError(f"{feed}: {run.error}")

    def _plan(
        self, feed: str, since: str | None, until: str | None, size: str, again: bool
    ) -> None:
        if since is None:
            if until or again:
                raise CommandError("--to and --again need --from: the stretch that is meant.")
            if not BackfillPartition.objects.filter(feed=feed).exists():
                raise CommandError(
                    f"No backfill of {feed} was begun. Say from when: "
                    f"`manage.py backfill {feed} --from 2024-01-01`."
                )
            return
        begin = moment(since, "--from")
        now = datetime.now(UTC)
        end = moment(until, "--to") if until else now.replace(minute=0, second=0, microsecond=0)
        if end > now:
            raise ExtractorFailed(
                f"--to={until} is not over yet; what is newest, the live runs fetch."
            )
        if begin >= end:
            raise ExtractorFailed(f"--from {_shown(begin)} is not before --to {_shown(end)}.")
        if (many := partitions.count(begin, end, size)) > partitions.MOST:
            raise ExtractorFailed(
                f"That would be {many:,} partitions, more than {partitions.MOST:,}; take a larger "
                "--partition or a shorter stretch."
            )
        partitions.plan(feed, partitions.cut(begin, end, size), again=again)

    def _fetch(self, feed: str, concurrency: int, newest_first: bool, *, quiet: bool) -> Run | None:
        left = partitions.left(feed)
        if not left:
            self.stdout.write(f"{feed}: nothing left to fetch; --again fetches what is done again")
            return None
        runs: list[Run] = []

        async def fetch(progress: Progress) -> None:
            runs.append(
                await run_backfill(
                    feed,
                    Archive(),
                    concurrency=concurrency,
                    newest_first=newest_first,
                    on_partition=progress.advance,
                )
            )

        try:
            with Progress(f"backfill {feed}", left, unit="partitions", quiet=quiet) as progress:
                run_until_stopped(
                    fetch(progress),
                    "What was fetched is archived; "
                    f"`manage.py backfill {feed}` goes on from there.",
                )
        finally:
            self._status(feed)
        (run,) = runs
        return run

    def _replay(self, source: str) -> None:
        if not transforms_of(source):
            return
        try:
            refreshed = refresh_unasked(source)
        except (ReshapeError, WarehouseError, ArchiveError) as error:
            raise CommandError(f"Archived, but not replayed: {error}") from error
        said = "replayed" if refreshed is not None else "unchanged, for its code changed: replay it"
        self.stdout.write(f"{source} rows: {said}")

    def _status(self, feed: str | None) -> None:
        found = partitions.summary(feed)
        for each in found:
            counts = ", ".join(f"{each[state.value]:,} {state.value}" for state in PartitionState)
            stretch = f"{_shown(each['since'])} to {_shown(each['until'])}"
            self.stdout.write(f"{each['feed']}: {stretch}, {counts}")
            failed = BackfillPartition.objects.filter(
                feed=each["feed"], state=PartitionState.FAILED
            ).order_by("since")
            for row in failed[:_SHOWN_FAILURES]:
                self.stdout.write(
                    f"  {_shown(row.since)} failed after {row.attempts} tries: {row.error}"
                )
            if (more := failed.count() - _SHOWN_FAILURES) > 0:
                self.stdout.write(f"  and {more:,} more that failed")
        if not found:
            self.stdout.write("No backfill was begun.")


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
