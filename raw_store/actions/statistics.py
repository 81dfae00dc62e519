"""`archive stats`: what is archived, in numbers."""

import argparse
import json

from .. import feeds, printing
from ..archive import Archive
from ..errors import SegmentCorrupt
from ..statistics import Row, statistics
from . import Action, Options, Terminal

_EXAMPLES = """
examples:
  manage.py archive stats                 every feed
  manage.py archive stats quakes.day      one
  manage.py archive stats --json | jq .   exact numbers

received: as transferred, where known. bodies: of every fetch, revisits included. stored: what of
them is stored, before compression. saved: what revisits need not store again. absent: fetches
whose body was removed by policy. files: on disk. Only metadata is read.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("feed", nargs="?", metavar="FEED", help="one feed; all of them if none")
    parser.add_argument("--json", action="store_true", help="print JSON, sizes in bytes")


def _stats(archive: Archive, options: Options, terminal: Terminal) -> None:
    feed = options["feed"]
    damaged: list[SegmentCorrupt] = []
    rows = list(statistics(archive, feed, damaged=damaged))
    if feed and not rows:
        feeds.get(feed)
    if options["json"]:
        terminal.say(json.dumps(rows, indent=2))
    elif rows:
        terminal.say("\n\n".join(_described(row) for row in rows))
    else:
        terminal.say("Nothing is archived yet. `manage.py extract` fetches it.")
    terminal.report_damaged(damaged)


def _described(row: Row) -> str:
    size = printing.size
    each = max(row["fetches"], 1)
    statuses = ", ".join(f"{status}: {count:,}" for status, count in row["statuses"].items())
    lines = [
        (
            "fetches",
            f"{row['fetches']:,} of {row['requests']:,} requests, {row['failures']:,} failed",
        ),
        ("versions", f"{row['versions']:,}, and {row['revisits']:,} revisits"),
        ("received", size(row["received"])),
        (
            "bodies",
            f"{size(row['bodies'])}, stored {size(row['stored'])}, saved {size(row['saved'])}",
        ),
        (
            "on disk",
            f"{size(row['files'])}, {row['ratio']} times less than received, "
            f"{size(row['files'] // each)} a fetch",
        ),
        (
            "segments",
            f"{row['segments']:,}: {row['segments_compacted']:,} compacted, "
            f"{row['segments'] - row['segments_compacted']:,} hot",
        ),
        ("absent", f"{row['absent']:,} by policy, {size(row['removed'])}"),
        ("time", f"{row['first']} to {row['last']}"),
        ("statuses", statuses),
        *(
            (
                "biggest" if not at else "",
                f"{size(big['bytes'])} in {big['versions_stored']:,}: {big['url']}",
            )
            for at, big in enumerate(row["biggest"])
        ),
    ]
    wanted = [(name, text) for name, text in lines if name != "absent" or row["absent"]]
    return "\n".join([row["feed"], *(f"  {name:<9} {text}" for name, text in wanted)])


ACTIONS = [
    Action(
        name="stats",
        summary="What is archived, in numbers.",
        examples=_EXAMPLES,
        add_arguments=_arguments,
        run=_stats,
    )
]
