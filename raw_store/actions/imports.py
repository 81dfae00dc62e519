"""`archive import`: histories recorded by other programs."""

import argparse
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from django.core.management.base import CommandError

from .. import feeds
from ..archive import Archive
from ..importing import import_snapshots
from ..snapshots import LOG_SUFFIXES, Snapshot, is_log, parse_time, read_files, read_log
from . import Action, Options, Terminal

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


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("feed", metavar="FEED", help="a declared feed, source.feed")
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="snapshot logs, files or folders"
    )
    parser.add_argument("--url", help="the address that files which are no logs came from")
    parser.add_argument("--method", help="the method they were requested with (GET)")
    parser.add_argument(
        "--fetched-at", metavar="TIME", help="when a single file was fetched, with its zone"
    )


def _import(archive: Archive, options: Options, terminal: Terminal) -> None:
    feed = feeds.get(options["feed"])
    with terminal.progress(f"import {feed.name}", unit="snapshots") as progress:
        done = import_snapshots(archive, feed.name, _snapshots(options), progress)
    terminal.say(
        f"{feed.name}: {done.added:,} snapshots archived, {done.known:,} were already there."
    )


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


ACTIONS = [
    Action(
        name="import",
        summary="Archive a recorded history with its true times.",
        examples=_IMPORT,
        add_arguments=_arguments,
        run=_import,
    )
]
