"""`archive retain`: remove the bodies that are older than their feed keeps them."""

import argparse
from datetime import UTC, datetime

from .. import feeds, printing
from ..archive import Archive
from ..retention import apply_retention
from . import Action, Options, Terminal

_EXAMPLES = """
examples:
  manage.py archive retain --dry-run      say what would go
  manage.py archive retain crm            the feeds of one source

A feed says how long it keeps bodies: @extractor("crm.users", keep_bodies="90d").
A body goes when nothing has found it for so long, unless it is the newest version of its
request or the rows of today are made of it. Its row keeps digest, size, headers and times. The
server does this by itself.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("feeds", nargs="*", metavar="FEED", help="feeds, or whole sources")
    parser.add_argument("--dry-run", action="store_true", help="change nothing, only say")


def _retain(archive: Archive, options: Options, terminal: Terminal) -> None:
    chosen = feeds.select(options["feeds"])
    done = apply_retention(archive.url, chosen, datetime.now(UTC), dry_run=options["dry_run"])
    for each in done:
        verb = "would go" if options["dry_run"] else "gone"
        terminal.say(
            f"{each.feed}: {each.body_count:,} bodies not seen since "
            f"{each.before:%Y-%m-%dT%H:%M:%SZ} {verb}, {printing.size(each.body_bytes)}, "
            f"of {each.row_count:,} fetches in {each.segment_count:,} segments"
        )
    if not done:
        terminal.say("No such feed says how long to keep bodies: keep_bodies= in its extractor.")


ACTIONS = [
    Action(
        name="retain",
        summary="Remove the bodies that are older than their feed keeps them.",
        examples=_EXAMPLES,
        add_arguments=_arguments,
        run=_retain,
    )
]
