"""`archive export-warc`, `import-warc` and `import-har`: exchange with other programs."""

import argparse
import re
from datetime import datetime
from pathlib import Path

from django.core.management.base import CommandError

from .. import feeds, printing
from ..archive import Archive
from ..errors import ExportRefused
from ..interchange import redaction
from ..interchange.arrivals import Arrived
from ..interchange.har import import_har
from ..interchange.warc_export import DEFAULT_MAX_SIZE, Selection, export_warc
from ..interchange.warc_import import import_warc
from ..snapshots import parse_time
from . import Action, Options, Terminal

_EXPORT = """
examples:
  manage.py archive export-warc quakes.day --output warc/
      warc/quakes.day-20260301120000000-00000.warc.gz, -00001 and so on, 1 GB each at most
  manage.py archive export-warc quakes --since 2026-01-01 --until 2026-02-01 --output january/
  manage.py archive export-warc quakes.day --url 'https://example.org/*' --output some.warc.gz

WARC/1.1 with response, request, revisit and metadata records. import-warc restores from it every
column of every row. With a revisit comes the fetch that holds its body, whenever that was.
Times are UTC; --until is not included. Nothing is replaced; an export that ends early leaves
no file.
"""
_IMPORT_WARC = """
examples:
  manage.py archive import-warc quakes.day warc/*.warc.gz
  manage.py archive import-warc site.pages crawl-00000.warc.gz crawl-00001.warc.gz

WARC 1.0 and 1.1, plain or gzip, of any program; give the files in the order they were written, as
revisits refer to earlier ones. Importing again adds nothing. Secrets in recorded requests are
masked as those of live fetches are. Of a file that is cut off, what comes before stays archived.
Exit code 1: something could not be taken; it is named. Afterwards run `manage.py replay`.
"""
_IMPORT_HAR = """
examples:
  manage.py archive import-har site.pages session.har

HAR 1.2, as browsers save it. Importing again adds nothing. Secrets are masked as those of live
fetches are. Exit code 1: an entry could not be taken; it is named. Afterwards run
`manage.py replay`.
"""
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("feeds", nargs="+", metavar="FEED", help="feeds, or sources for all theirs")
    parser.add_argument("--since", type=_time, metavar="TIME", help="fetched at that time or later")
    parser.add_argument("--until", type=_time, metavar="TIME", help="fetched before that time")
    parser.add_argument("--url", help="only this address; * stands for anything")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(),
        metavar="PLACE",
        help="a folder (default: this one), or one file to make: NAME.warc.gz or NAME.warc",
    )
    parser.add_argument(
        "--max-size",
        type=_size,
        default=DEFAULT_MAX_SIZE,
        metavar="SIZE",
        help="begin another file after so many bytes: 500M, 2G (default: 1G)",
    )


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("feed", metavar="FEED", help="a declared feed, source.feed")
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="read in this order")


def _export(archive: Archive, options: Options, terminal: Terminal) -> None:
    selection = Selection(since=options["since"], until=options["until"], url=options["url"])
    output: Path = options["output"]
    names = _feed_names(archive, options["feeds"])
    if len(names) > 1 and output.name.endswith((".warc", ".warc.gz")):
        raise ExportRefused(
            f"{output} is one file, and {len(names)} feeds are asked for. Give a folder: each feed "
            "has files of its own."
        )
    for name in names:
        with terminal.progress(f"export {name}") as progress:
            done = export_warc(
                archive,
                name,
                output,
                selection=selection,
                max_size=options["max_size"],
                progress=progress,
            )
        for path in done.files:
            terminal.say(str(path))
        holders = f", {done.holders:,} of them for their bodies alone" if done.holders else ""
        terminal.say(
            f"{name}: {done.fetches:,} fetches{holders}, "
            f"{len(done.files):,} files, {printing.size(done.size)}."
        )


def _import_warc(archive: Archive, options: Options, terminal: Terminal) -> None:
    feed = feeds.get(options["feed"])
    rules = redaction.of_feed(feed.name)
    with terminal.progress(f"import {feed.name}", unit="fetches") as progress:
        done = import_warc(archive, feed, _existing(options), rules, progress)
    _report(feed.name, done, terminal)


def _import_har(archive: Archive, options: Options, terminal: Terminal) -> None:
    feed = feeds.get(options["feed"])
    rules = redaction.of_feed(feed.name)
    with terminal.progress(f"import {feed.name}", unit="fetches") as progress:
        done = import_har(archive, feed, _existing(options), rules, progress)
    _report(feed.name, done, terminal)


def _report(name: str, done: Arrived, terminal: Terminal) -> None:
    terminal.say(f"{name}: {done.added:,} fetches archived, {done.known:,} were already there.")
    if done.passed_over:
        said = ", ".join(f"{count:,} {what}" for what, count in sorted(done.passed_over.items()))
        terminal.say(f"Passed over: {said}.")
    for problem in done.problems:
        terminal.complain(problem)
    if done.problems:
        raise CommandError(f"{len(done.problems):,} could not be taken as they are; see above.")


def _feed_names(archive: Archive, asked: list[str]) -> list[str]:
    """Declared feeds, and archived ones that nothing declares any more."""
    archived = {segment.feed for segment in archive.segments()}
    names: dict[str, None] = {}
    for name in asked:
        found = [name] if name in archived else [f.name for f in feeds.select([name])]
        names.update(dict.fromkeys(found))
    return list(names)


def _existing(options: Options) -> list[Path]:
    paths: list[Path] = options["paths"]
    for path in paths:
        if not path.is_file():
            raise CommandError(f"{path} is no file.")
    return paths


def _time(text: str) -> datetime:
    try:
        return parse_time(text if "T" in text or " " in text else f"{text}T00:00:00Z")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)([kmg]?)b?", text.strip().lower())
    if match is None or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 500M or 2G")
    return int(match[1]) * _UNITS[match[2]]


ACTIONS = [
    Action(
        name="export-warc",
        summary="Write fetches as WARC files.",
        examples=_EXPORT,
        add_arguments=_export_arguments,
        run=_export,
    ),
    Action(
        name="import-warc",
        summary="Archive what WARC files of any program hold.",
        examples=_IMPORT_WARC,
        add_arguments=_import_arguments,
        run=_import_warc,
    ),
    Action(
        name="import-har",
        summary="Archive what HAR files of browsers hold.",
        examples=_IMPORT_HAR,
        add_arguments=_import_arguments,
        run=_import_har,
    ),
]
