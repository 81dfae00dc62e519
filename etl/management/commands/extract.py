"""`manage.py extract [FEED…|SOURCE…]`: run extractors now, then replay what they touched."""

import asyncio
from collections.abc import Coroutine, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from etl.dry_running import tell_requests
from etl.interrupting import run_until_stopped
from etl.on_change import refresh_unasked
from etl.telling import counts, many, notices
from ingest import registry, schedule
from ingest.display import ExtractProgress, as_size
from ingest.errors import IngestError
from ingest.models import FeedStatus, Outcome, Run
from ingest.notices.outbox import deliver_due
from ingest.notices.teller import keep_telling
from ingest.registry import Extractor
from ingest.runs import run_feed
from ingest.shards import Shard
from ingest.supervisor import Supervisor
from raw_store import commands
from raw_store.archive import Archive
from raw_store.errors import ArchiveError
from raw_store.store_check import ensure_store
from reshape.errors import ReshapeError
from reshape.models import derived_models
from reshape.registry import transforms_of
from warehouse.errors import WarehouseError

FEEDS_AT_ONCE = 8


class Command(commands.LongCommand):
    help = "Run extractors and archive what they receive; then replay the sources they touched."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "names",
            nargs="*",
            metavar="FEED|SOURCE",
            help="feeds (quakes.day) or whole sources (quakes); all feeds when left out",
        )
        parser.add_argument("--list", action="store_true", help="list the feeds and stop")
        parser.add_argument("--no-replay", action="store_true", help="archive only")
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="say what would be requested; nothing is sent and nothing kept",
        )
        parser.add_argument(
            "--cassette",
            type=Path,
            metavar="FILE",
            help="answers of a dry run, see export-cassette",
        )
        parser.add_argument(
            "--from-archive", action="store_true", help="answer a dry run from the archive"
        )
        parser.add_argument(
            "--watch", action="store_true", help="keep running the feeds that have a schedule"
        )
        parser.add_argument(
            "--pause",
            action="store_true",
            help="run the named feeds on their schedule no more, until --resume",
        )
        parser.add_argument(
            "--resume", action="store_true", help="run the named feeds on their schedule again"
        )

    def handle(
        self,
        *,
        names: list[str],
        list: bool,
        no_replay: bool,
        watch: bool,
        dry_run: bool,
        cassette: Path | None,
        from_archive: bool,
        pause: bool,
        resume: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        try:
            chosen = registry.select(names)
            if not names:
                # Named feeds run wherever they are asked for; all of them means this shard's.
                shard = Shard.parse(settings.SHARD)
                chosen = [each for each in chosen if each.belongs_to(shard)]
        except (ArchiveError, IngestError) as error:
            raise CommandError(str(error)) from error
        if list:
            self._list(chosen)
            return
        if dry_run or cassette or from_archive:
            self._dry_run(chosen, dry_run, cassette, from_archive)
            return
        if pause or resume:
            self._pause_or_resume(chosen if names else [], pause=pause, resume=resume)
            return
        if watch and names:
            raise CommandError("--watch runs every feed that has a schedule; name none.")
        try:
            ensure_store(settings.ARCHIVE_URL)
        except ArchiveError as error:
            raise CommandError(str(error)) from error
        if watch:
            _run(self._watch(replay=not no_replay))
            return
        runs = self._extract(chosen, quiet=verbosity == 0)
        replayed = no_replay or self._replay(runs)
        deliver_due(also_waiting=True)
        failed = [run.feed for run in runs if run.outcome != Outcome.COMPLETE]
        if failed:
            raise CommandError(f"{len(failed)} of {len(runs)} feeds failed: {', '.join(failed)}.")
        if not replayed:
            raise CommandError("Every feed was extracted, but not every source was replayed.")

    def _pause_or_resume(self, chosen: "list[Extractor]", *, pause: bool, resume: bool) -> None:
        if (pause and resume) or not chosen:
            raise CommandError("Name the feeds or sources that --pause or --resume is for.")
        for extractor in chosen:
            if pause:
                schedule.pause(extractor.name)
                self.stdout.write(
                    f"{extractor.name}: paused. A scheduler knows within half a minute; a run "
                    "under way goes on."
                )
            else:
                due = schedule.resume(extractor)
                self.stdout.write(f"{extractor.name}: next run {_moment(due)}")

    def _dry_run(
        self, chosen: Iterable[Extractor], dry_run: bool, cassette: Path | None, from_archive: bool
    ) -> None:
        if not dry_run:
            raise CommandError("--cassette and --from-archive answer a dry run; add --dry-run.")
        try:
            failed = tell_requests(
                chosen, self.stdout.write, cassette=cassette, from_archive=from_archive
            )
        except (IngestError, ArchiveError) as error:
            raise CommandError(str(error)) from error
        if failed:
            raise CommandError(f"{many(len(failed), 'extractor')} failed: {', '.join(failed)}.")

    def _extract(self, chosen: Iterable[Extractor], *, quiet: bool) -> "list[Run]":
        archive = Archive()
        runs: dict[str, Run] = {}

        async def extract_all(progress: ExtractProgress) -> None:
            places = asyncio.Semaphore(FEEDS_AT_ONCE)

            async def extract_one(name: str) -> None:
                async with places:
                    runs[name] = await run_feed(name, archive, progress=progress.archived)

            async with asyncio.TaskGroup() as tasks:
                for extractor in chosen:
                    tasks.create_task(extract_one(extractor.name))

        try:
            with ExtractProgress(quiet=quiet) as progress:
                _run(extract_all(progress))
        finally:
            for name in sorted(runs):
                self._summarise(runs[name])
        return [runs[name] for name in sorted(runs)]

    def _summarise(self, run: Run) -> None:
        seconds = ((run.finished_at or datetime.now(UTC)) - run.started_at).total_seconds()
        self.stdout.write(
            f"{run.feed}: {run.outcome}, {many(run.payload_count, 'payload')}, "
            f"{as_size(run.received_bytes)}, {run.failure_count:,} failed fetches, {seconds:.1f} s"
        )
        if run.error:
            self.stderr.write(f"{run.feed}: {run.error}")

    def _replay(self, runs: "list[Run]") -> bool:
        """Replay the sources that archived something; return whether all could be."""
        is_whole = True
        touched = dict.fromkeys(run.feed.partition(".")[0] for run in runs if run.payload_count)
        for source in touched:
            if not transforms_of(source):
                continue
            try:
                refreshed = refresh_unasked(source)
            except (ReshapeError, WarehouseError, ArchiveError) as error:
                is_whole = False
                self.stderr.write(f"{source}: {error}")
            else:
                if refreshed is None:
                    self.stdout.write(
                        f"{source} rows: unchanged, for the code changed since the last replay; "
                        f"`manage.py replay {source}` derives them anew"
                    )
                    continue
                tables = {model._meta.db_table for model in derived_models(source)}
                found = refreshed.loaded.differences
                changed = counts(found[table] for table in tables)
                self.stdout.write(f"{source} rows: {changed}")
                for notice in notices(refreshed.derivation):
                    self.stdout.write(f"  {notice}")
        return is_whole

    def _list(self, chosen: Iterable[Extractor]) -> None:
        statuses = FeedStatus.objects.select_related("last_run").in_bulk()
        rows = [("FEED", "SCHEDULE", "LAST RUN", "OUTCOME", "NEXT RUN")]
        for extractor in chosen:
            status = statuses.get(extractor.name)
            last = status.last_run if status else None
            upcoming = status.next_run_at if status and extractor.is_scheduled else None
            is_paused = bool(status and status.paused_at)
            rows.append(
                (
                    extractor.name,
                    extractor.schedule,
                    _moment(last.started_at if last else None),
                    str(last.outcome) if last else "-",
                    "paused" if is_paused else _moment(upcoming),
                )
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())

    async def _watch(self, *, replay: bool) -> None:
        def refresh(source: str) -> None:
            if transforms_of(source):
                refresh_unasked(source)

        supervisor = Supervisor(Archive(), refresh if replay else None)
        telling = asyncio.create_task(keep_telling())
        await supervisor.start()
        try:
            await supervisor.wait()
        finally:
            await supervisor.stop()
            telling.cancel()


def _run(work: Coroutine[Any, Any, None]) -> None:
    run_until_stopped(work, "What was fetched is archived; the runs are marked interrupted.")


def _moment(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else "-"
