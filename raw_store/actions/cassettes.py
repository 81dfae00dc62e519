"""`archive export-cassette`: a run's exchanges as a file for the tests of a source."""

import argparse
from pathlib import Path
from uuid import UUID

from .. import feeds
from ..archive import Archive
from ..errors import ExportRefused
from ..interchange import cassette
from . import Action, Options, Terminal

_EXAMPLES = """
examples:
  manage.py archive export-cassette shop.orders tests/sources/shop/orders.json
      the exchanges of the feed's newest run
  manage.py archive export-cassette shop.orders orders.json --run 01979f0e-… --limit 20

The file is JSON to be read and, if need be, edited. Secrets are masked as they are in the archive,
and the answers of token endpoints have no body. docs/testing-a-source.md says what to do with it.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("feed", metavar="FEED", help="whose fetches are told, source.feed")
    parser.add_argument("path", type=Path, metavar="FILE", help="the file to make or replace")
    parser.add_argument("--run", type=UUID, metavar="RUN_ID", help="this run (the newest)")
    parser.add_argument("--limit", type=int, metavar="N", help="only so many, from the beginning")


def _export(archive: Archive, options: Options, terminal: Terminal) -> None:
    feed = feeds.get(options["feed"]).name
    rows = [row for row in archive.scan(feed, bodies=False) if row.status is not None]
    run_id = options["run"] or max(rows, key=lambda row: row.fetched_at).run_id if rows else None
    chosen = sorted((row for row in rows if row.run_id == run_id), key=lambda row: row.sequence)
    if not chosen:
        which = f"run {options['run']}" if options["run"] else "it"
        raise ExportRefused(
            f"Nothing of {feed} is archived of {which}. `manage.py extract {feed}` fetches it."
        )
    chosen = chosen[: options["limit"]]
    found = archive.read_many(
        {each.fetch_id for each in chosen} | {each.payload_id for each in chosen if each.payload_id}
    )
    exchanges = [
        exchange
        for each in chosen
        if (exchange := cassette.of_payload(found[each.fetch_id], found.get(each.payload_id)))  # type: ignore[arg-type]
    ]
    path: Path = options["path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(cassette.written(feed, exchanges), encoding="utf-8")
    terminal.say(f"{path}: {len(exchanges):,} exchanges of run {run_id}")


ACTIONS = [
    Action(
        name="export-cassette",
        summary="Write a run's exchanges as a readable file for tests.",
        examples=_EXAMPLES,
        add_arguments=_arguments,
        run=_export,
    )
]
