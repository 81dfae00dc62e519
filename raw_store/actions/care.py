"""`archive verify`, `gc` and `reindex`: prove the archive whole, and mend it."""

import argparse
import json
from collections import Counter
from datetime import timedelta

from django.core.management.base import CommandError

from .. import erasing, feeds, printing
from ..archive import Archive
from ..files import GRACE, list_files
from . import Action, Options, Terminal

_VERIFY = """
examples:
  manage.py archive verify                every segment
  manage.py archive verify quakes.day     those of one feed

Reads every segment, recomputes every digest and size, compares rows with footer and
index, and looks up the fetches that revisits name, on all cores. Damaged, missing and unindexed
files are named. Per feed it says of how many fetches the body is present, in an earlier fetch
(revisits), absent by policy (`archive retain`), damaged or lost.
Exit code 0: all is well. 1: something is not.
"""
_GC = """
examples:
  manage.py archive gc --dry-run          say what would be done
  manage.py archive gc                    do it

After a crash two kinds of files may be left. Temporary ones, and partial uploads to an S3 store,
are removed: nothing in them was acknowledged. Whole segments that are not in the index hold real
responses: they are adopted into it. Files younger than the grace period may belong to a running
extractor.
"""
_REINDEX = """
Everything the index holds is in the segments: after the loss of the database run
  manage.py migrate
  manage.py archive reindex
and then replay the sources. Segments that cannot be read are named and left out (exit code 1).
"""


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("feed", nargs="?", metavar="FEED", help="one feed; all of them if none")
    parser.add_argument("--json", action="store_true", help="print JSON, sizes in bytes")


def _gc_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="change nothing, only say")
    parser.add_argument(
        "--grace",
        type=int,
        default=int(GRACE.total_seconds()),
        metavar="SECONDS",
        help="leave younger files alone (default: %(default)s)",
    )


def _verify(archive: Archive, options: Options, terminal: Terminal) -> None:
    feed = options["feed"]
    segments = archive.segments(feed)
    if feed and not segments:
        feeds.get(feed)
    total = sum(segment.row_count for segment in segments)
    by_feed: dict[str, Counter[str]] = {}
    damaged = 0
    problems: list[dict[str, str]] = []
    with terminal.progress("verify", total) as progress:
        for report in archive.verify(feed, advance=progress.advance):
            damaged += not report.is_whole
            counts = by_feed.setdefault(report.feed, Counter())
            counts["segments"] += 1
            for name, attribute in _COUNTED.items():
                counts[name] += getattr(report, attribute)
            for problem in report.problems:
                problems.append({"segment": report.path, "problem": problem})
                terminal.complain(f"{report.path}: {problem}")
    rows: list[printing.Row] = [
        {"feed": name, "segments": counts["segments"]} | {each: counts[each] for each in _COUNTED}
        for name, counts in sorted(by_feed.items())
    ]
    if options["json"]:
        terminal.say(json.dumps({"feeds": rows, "problems": problems}, indent=2))
    elif len(rows) > 1 or any(row["absent"] for row in rows) or damaged:
        terminal.say(printing.table(rows))
    checked, payloads, size = (
        sum(row[name] for row in rows) for name in ("segments", "payloads", "bodies")
    )
    summary = f"{checked:,} segments, {payloads:,} payloads, {printing.size(size)} of bodies read"
    if damaged:
        raise CommandError(f"{damaged} of {summary} are not as they should be; see above.")
    if not options["json"]:
        terminal.say(f"{summary}: all is well.")


_COUNTED = {
    "payloads": "row_count",
    "bodies": "body_bytes",
    "present": "present_count",
    "revisits": "revisit_count",
    "absent": "absent_count",
    "damaged": "damaged_count",
    "lost": "lost_count",
}


def _gc(archive: Archive, options: Options, terminal: Terminal) -> None:
    dry_run = options["dry_run"]
    if not dry_run:
        for erased in erasing.resume(archive.url, everything=False):
            terminal.say(f"finished an erasure of {erased.fetch_count:,} fetches")
            for left in erased.proof.left:
                terminal.complain(left)
    found = archive.gc(grace=timedelta(seconds=options["grace"]), dry_run=dry_run)
    for path in found.removed:
        terminal.say(f"{'would remove' if dry_run else 'removed'} {path}")
    for info in found.adopted:
        verb = "would adopt" if dry_run else "adopted"
        terminal.say(f"{verb} {info.path}: {info.row_count:,} payloads")
    if not (found.removed or found.adopted or found.damaged):
        terminal.say("Nothing to clear up.")
    elif found.adopted and not dry_run:
        terminal.say("Run `manage.py replay` for the sources of adopted segments.")
    terminal.report_damaged(found.damaged)


def _reindex(archive: Archive, options: Options, terminal: Terminal) -> None:
    total = sum(file.is_segment for file in list_files(archive.url))
    with terminal.progress("reindex", total, unit="segments") as progress:
        found = archive.reindex(advance=progress.advance)
    for path in found.forgotten:
        terminal.complain(f"{path}: was in the index, but there is no such readable segment.")
    payloads = sum(info.row_count for info in found.segments)
    terminal.say(f"{len(found.segments):,} segments, {payloads:,} payloads indexed.")
    terminal.report_damaged(found.damaged)


ACTIONS = [
    Action(
        name="verify",
        summary="Recompute every digest and name what is damaged.",
        examples=_VERIFY,
        add_arguments=_verify_arguments,
        run=_verify,
    ),
    Action(
        name="gc",
        summary="Clear up after a crash.",
        examples=_GC,
        add_arguments=_gc_arguments,
        run=_gc,
    ),
    Action(
        name="reindex",
        summary="Rebuild the index from the segments' files alone.",
        examples=_REINDEX,
        run=_reindex,
    ),
]
