"""`archive compact`: many small segments become few large ones."""

import argparse
from datetime import timedelta

from django.core.management.base import CommandError

from .. import compaction, feeds, printing
from ..archive import Archive
from . import Action, Options, Terminal

_COMPACT = """
examples:
  manage.py archive compact               every feed
  manage.py archive compact quakes.day    one feed
  manage.py archive compact quakes        the feeds of one source
  manage.py archive compact --dry-run     say what would be merged

Small segments are merged into large ones, the versions of each address side by side, which makes
them several times smaller and quicker to look through. No row changes what it says; nothing has
to be parsed or loaded again; extractors and readers go on meanwhile. May be stopped at any time.
A replaced file is hidden at once and deleted after the grace period, for whoever still reads it.
The server does this in the background, where many segments of a size have gathered.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "feeds", nargs="*", metavar="FEED", help="feeds or sources (default: every feed)"
    )
    parser.add_argument("--dry-run", action="store_true", help="change nothing, only say")
    parser.add_argument(
        "--grace",
        type=int,
        default=int(compaction.GRACE.total_seconds()),
        metavar="SECONDS",
        help="delete files that were replaced so long ago (default: %(default)s)",
    )


def _compact(archive: Archive, options: Options, terminal: Terminal) -> None:
    chosen = _chosen(archive, options["feeds"])
    batches = list(compaction.plan(chosen))
    if options["dry_run"]:
        for batch in batches:
            size = sum(segment.file_bytes for segment in batch)
            terminal.say(
                f"would merge {len(batch):,} segments of {batch[0].feed}, "
                f"{sum(segment.row_count for segment in batch):,} payloads, {printing.size(size)}"
            )
        if not batches:
            terminal.say("Nothing to merge.")
        return
    total = sum(segment.row_count for batch in batches for segment in batch)
    with terminal.progress("compact", total) as progress:
        done = archive.compact(
            chosen, grace=timedelta(seconds=options["grace"]), advance=progress.advance
        )
    if done.replaced:
        terminal.say(
            f"{len(done.replaced):,} segments became {len(done.written):,}: "
            f"{printing.size(done.bytes_before)} before, {printing.size(done.bytes_after)} after."
        )
    elif not done.damaged:
        terminal.say("Nothing to merge.")
    for error in done.damaged:
        terminal.complain(str(error))
    if done.damaged:
        raise CommandError(
            f"{len(done.damaged)} batches were left as they were, because a segment in them is "
            "damaged; see above."
        )


def _chosen(archive: Archive, names: list[str]) -> list[str] | None:
    """The feeds that were named: declared ones, or any of which something is archived."""
    if not names:
        return None
    archived = {segment.feed for segment in archive.segments()}
    found: list[str] = []
    for name in names:
        here = [feed for feed in sorted(archived) if name in (feed, feed.partition(".")[0])]
        found += here or [feed.name for feed in feeds.select([name])]
    return found


ACTIONS = [
    Action(
        name="compact",
        summary="Merge small segments into large ones, several times smaller.",
        examples=_COMPACT,
        add_arguments=_arguments,
        run=_compact,
    )
]
