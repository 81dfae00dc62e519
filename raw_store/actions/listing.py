"""`archive list` and `archive show`: what is archived."""

import argparse
import json
import sys
from uuid import UUID

from django.core.management.base import CommandError

from .. import feeds, printing
from ..archive import Archive
from ..large_bodies import read_spooled
from . import Action, Options, Terminal

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


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("feed", nargs="?", metavar="FEED", help="its segments; every feed if none")
    parser.add_argument("--json", action="store_true", help="print JSON, sizes in bytes")


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fetch_id", type=UUID, metavar="FETCH_ID", help="as rows have it")
    parser.add_argument("--body", action="store_true", help="print the body and nothing else")


def _list(archive: Archive, options: Options, terminal: Terminal) -> None:
    feed = options["feed"]
    rows = printing.segment_rows(archive, feed) if feed else printing.feed_rows()
    if feed and not rows:
        feeds.get(feed)
    if options["json"]:
        terminal.say(json.dumps(rows, indent=2))
    elif rows:
        terminal.say(printing.table(rows))
    else:
        what = f"of {feed} " if feed else ""
        terminal.say(f"Nothing {what}is archived yet. `manage.py extract` fetches it.")


def _show(archive: Archive, options: Options, terminal: Terminal) -> None:
    payload = read_spooled(archive, options["fetch_id"])
    if not options["body"]:
        terminal.say(printing.heads(payload))
        return
    if not payload.has_body:
        raise CommandError(f"Fetch {payload.fetch_id}: {printing.outcome(payload)}.")
    terminal.out.flush()
    spool = payload.spooled_body
    for chunk in spool.chunks() if spool else [payload.body or b""]:
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


ACTIONS = [
    Action(
        name="list",
        summary="List feeds, or the segments of one feed.",
        examples=_LIST,
        add_arguments=_list_arguments,
        run=_list,
    ),
    Action(
        name="show",
        summary="Show one fetch: its request and its response.",
        examples=_SHOW,
        add_arguments=_show_arguments,
        run=_show,
    ),
]
