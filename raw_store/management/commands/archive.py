"""`manage.py archive`: look at the archive, prove it whole, mend it, and import histories."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from raw_store import feeds, printing
from raw_store.archive import Archive
from raw_store.errors import ArchiveError, SegmentCorrupt
from raw_store.files import GRACE, list_files
from raw_store.importing import import_snapshots
from raw_store.progress import Progress
from raw_store.snapshots import LOG_SUFFIXES, Snapshot, is_log, parse_time, read_files, read_log

Options = dict[str, Any]

_LIST = """
examples:
  manage.py archive list                  feeds: payloads, sizes, first and last fetch
  manage.py archive list quakes.day       its segments
  manage.py archive list --json | jq .    exact numbers

Sizes: `bodies` as stored before compression, `files` on disk.
"""
_SHOW = """
examples:
  manage.py archive show 0195…                      request and response heads
  manage.py archive show 0195… --body > page.html   the body, byte for byte

A fetch id stands on every row (`fetch_id`) and in the archive's files. The body of a
revisit is read from the fetch that holds it.
"""
_VERIFY = """
examples:
  manage.py archive verify                every segment
  manage.py archive verify quakes.day     those of one feed

Reads every segment, recomputes every digest and size, compares rows with footer and
index, and looks up the fetches that revisits name. Damaged, missing and unindexed files are named.
Exit code 0: all is well. 1: something is not.
"""
_GC = """
examples:
  manage.py archive gc --dry-run          say what would be done
  manage.py archive gc                    do it

After a crash two kinds of files may be left. Temporary ones are removed: nothing in them was
acknowledged. Whole segments that are not in the index hold real responses: they are
adopted into it. Files younger than the grace period may belong to a running extractor.
"""
_REINDEX = """
Everything the index holds is in the segments: after the loss of the database run
  manage.py migrate
  manage.py archive reindex
and then replay the sources. Segments that cannot be read are named and left out (exit code 1).
"""
_IMPORT = """
examples:
  manage.py archive import wildfires.incidents snapshots.jsonl.xz
      a snapshot log: one JSON object a line, oldest first, with url, fetched_at and body, and where
      recorded method, request_body, status, bytes, sha256 (compared with the body)
  manage.py archive import quakes.week all_week.geojson/ --url https://example.org/all_week.geojson
      files that each hold one response; their names are times:
      2014-04-14T115207Z.geojson, 2025-02-25.xml
  manage.py archive import quakes.week page.json --url https://… --fetched-at 2024-05-01T06:00:00Z

Importing a file again adds nothing. A line that is no snapshot stops the import with its number;
the lines before it stay archived. History older than what is archived is welcome at any time.
Afterwards run `manage.py replay` for the source.
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples' lines as they are written."""


class Command(BaseCommand):
    help = "Look at the archive, prove it whole, mend it, and import histories into it."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

        def action(name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
            return actions.add_parser(
                name, help=summary, description=summary, epilog=epilog, formatter_class=_Help
            )

        listing = action("list", "List feeds, or the segments of one feed.", _LIST)
        listing.add_argument("feed", nargs="?", metavar="FEED")
        listing.add_argument("--json", action="store_true", help="print JSON, sizes in bytes")

        show = action("show", "Show one fetch: its request and its response.", _SHOW)
        show.add_argument("fetch_id", type=UUID, metavar="FETCH_ID")
        show.add_argument("--body", action="store_true", help="print the body and nothing else")

        verify = action("verify", "Recompute every digest and name what is damaged.", _VERIFY)
        verify.add_argument("feed", nargs="?", metavar="FEED")

        gc = action("gc", "Clear up after a crash.", _GC)
        gc.add_argument("--dry-run", action="store_true", help="change nothing, only say")
        gc.add_argument(
            "--grace",
            type=int,
            default=int(GRACE.total_seconds()),
            metavar="SECONDS",
            help="leave younger files alone (default: %(default)s)",
        )

        action("reindex", "Rebuild the index from the segments' files alone.", _REINDEX)

        importing = action("import", "Archive a recorded history with its true times.", _IMPORT)
        importing.add_argument("feed", metavar="FEED", help="a declared feed, source.feed")
        importing.add_argument(
            "paths", nargs="+", type=Path, metavar="PATH", help="snapshot logs, files or folders"
        )
        importing.add_argument("--url", help="the address that files which are no logs came from")
        importing.add_argument("--method", help="the method they were requested with (GET)")
        importing.add_argument(
            "--fetched-at", metavar="TIME", help="when a single file was fetched, with its zone"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        actions: dict[str, Callable[..., None]] = {
            "list": self._list,
            "show": self._show,
            "verify": self._verify,
            "gc": self._gc,
            "reindex": self._reindex,
            "import": self._import,
        }
        self._quiet = options["verbosity"] == 0
        try:
            actions[options["action"]](Archive(), options)
        except ArchiveError as error:
            raise CommandError(str(error)) from error

    def _list(self, archive: Archive, options: Options) -> None:
        feed = options["feed"]
        rows = printing.segment_rows(archive, feed) if feed else printing.feed_rows()
        if feed and not rows:
            feeds.get(feed)
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
        elif rows:
            self.stdout.write(printing.table(rows))
        else:
            what = f"of {feed} " if feed else ""
            self.stdout.write(f"Nothing {what}is archived yet. `manage.py extract` fetches it.")

    def _show(self, archive: Archive, options: Options) -> None:
        payload = archive.read(options["fetch_id"])
        if not options["body"]:
            self.stdout.write(printing.heads(payload))
            return
        if payload.body is None:
            raise CommandError(f"Fetch {payload.fetch_id}: {printing.outcome(payload)}.")
        self.stdout.flush()
        sys.stdout.buffer.write(payload.body)
        sys.stdout.buffer.flush()

    def _verify(self, archive: Archive, options: Options) -> None:
        feed = options["feed"]
        segments = archive.segments(feed)
        if feed and not segments:
            feeds.get(feed)
        total = sum(segment.row_count for segment in segments)
        damaged = checked = payloads = size = 0
        with Progress("verify", total, quiet=self._quiet) as progress:
            for report in archive.verify(feed):
                progress.advance(report.row_count)
                checked += 1
                payloads += report.row_count
                size += report.body_bytes
                damaged += not report.is_whole
                for problem in report.problems:
                    self.stderr.write(f"{report.path}: {problem}")
        summary = (
            f"{checked:,} segments, {payloads:,} payloads, {printing.size(size)} of bodies read"
        )
        if damaged:
            raise CommandError(f"{damaged} of {summary} are not as they should be; see above.")
        self.stdout.write(f"{summary}: all is well.")

    def _gc(self, archive: Archive, options: Options) -> None:
        dry_run = options["dry_run"]
        found = archive.gc(grace=timedelta(seconds=options["grace"]), dry_run=dry_run)
        for path in found.removed:
            self.stdout.write(f"{'would remove' if dry_run else 'removed'} {path}")
        for info in found.adopted:
            verb = "would adopt" if dry_run else "adopted"
            self.stdout.write(f"{verb} {info.path}: {info.row_count:,} payloads")
        if not (found.removed or found.adopted or found.damaged):
            self.stdout.write("Nothing to clear up.")
        elif found.adopted and not dry_run:
            self.stdout.write("Run `manage.py replay` for the sources of adopted segments.")
        self._report_damaged(found.damaged)

    def _reindex(self, archive: Archive, options: Options) -> None:
        total = sum(file.is_segment for file in list_files(archive.url))
        with Progress("reindex", total, unit="segments", quiet=self._quiet) as progress:
            found = archive.reindex(advance=progress.advance)
        for path in found.forgotten:
            self.stderr.write(f"{path}: was in the index, but there is no such readable segment.")
        payloads = sum(info.row_count for info in found.segments)
        self.stdout.write(f"{len(found.segments):,} segments, {payloads:,} payloads indexed.")
        self._report_damaged(found.damaged)

    def _import(self, archive: Archive, options: Options) -> None:
        feed = feeds.get(options["feed"])
        with Progress(f"import {feed.name}", unit="snapshots", quiet=self._quiet) as progress:
            done = import_snapshots(archive, feed.name, _snapshots(options), progress)
        self.stdout.write(
            f"{feed.name}: {done.added:,} snapshots archived, {done.known:,} were already there."
        )

    def _report_damaged(self, damaged: list[SegmentCorrupt]) -> None:
        for error in damaged:
            self.stderr.write(str(error))
        if damaged:
            raise CommandError(f"{len(damaged)} segments could not be read; see above.")


def _snapshots(options: Options) -> Iterator[Snapshot]:
    paths: list[Path] = options["paths"]
    logs = [path for path in paths if is_log(path) and not path.is_dir()]
    others = [path for path in paths if path not in logs]
    for path in paths:
        if not path.exists():
            raise CommandError(f"{path} does not exist.")
    if logs and (others or options["url"] or options["fetched_at"] or options["method"]):
        raise CommandError(
            f"{logs[0]} is a snapshot log, in which each line says its URL and time. Import it "
            "without --url, --method and --fetched-at, and apart from other files."
        )
    if others and not options["url"]:
        raise CommandError(
            f"{others[0]} is not a snapshot log ({', '.join(LOG_SUFFIXES)}). Say with --url which "
            "address it came from."
        )
    if logs:
        return (snapshot for log in logs for snapshot in read_log(log))
    method = options["method"] or "GET"
    return read_files(others, options["url"], method=method, fetched_at=_time(options))


def _time(options: Options) -> datetime | None:
    try:
        return parse_time(options["fetched_at"]) if options["fetched_at"] else None
    except ValueError as error:
        raise CommandError(f"--fetched-at: {error}.") from None
