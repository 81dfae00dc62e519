"""`archive erase`: remove fetches and everything derived from them, and prove it."""

import argparse
import sys

import pyarrow as pa
import pyarrow.compute as pc
from django.core.management.base import CommandError
from django.db import connection

from .. import erasing, feeds, printing
from ..archive import Archive
from ..durability import is_local
from ..proof import Proof
from ..selection import Asked, By
from . import Action, Options, Terminal

_EXAMPLES = """
examples:
  manage.py archive erase --url https://example.org/users/7 --dry-run
  manage.py archive erase --url https://example.org/users/7       every fetch of that address
  manage.py archive erase crm.users --key 3f2a…                   those of one request, one feed
  manage.py archive erase --where "url LIKE '%/users/7/%' AND fetched_at < '2025-01-01'"
  manage.py archive erase --resume                                finish what was interrupted

Erased are the fetches that are meant, and every revisit of a body that one of them holds.
Segments are written anew without them; record files, rows, columnar copies, rollups and builds
are derived anew and the old ones deleted; then every file of the archive and of the home folder,
and the database, are searched for what is left. The rest of each segment keeps what it says.

The predicate is one SQL expression over the columns of a fetch (docs/archive-format.md lists
them), bodies excepted. Exit code 0: nothing is left. 1: something is; it is named.
Copies elsewhere (backups, exports, `replay --into` files, a bucket's old object versions) are
not this program's to know.
"""
_SAMPLE = 5


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("feed", nargs="?", metavar="FEED", help="only of this feed")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--url", help="an address; its canonical form is compared")
    what.add_argument("--key", help="a request key, as the archive's rows have it")
    what.add_argument("--where", metavar="SQL", help="a predicate over the metadata of a fetch")
    what.add_argument("--resume", action="store_true", help="finish what was interrupted")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be erased")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _erase(archive: Archive, options: Options, terminal: Terminal) -> None:
    if options["resume"]:
        _resume(archive, terminal)
        return
    asked = _asked(options)
    found = erasing.preview(archive.url, asked)
    if not found.num_rows:
        if asked.feed and not archive.segments(asked.feed):
            feeds.get(asked.feed)
        terminal.say("No archived fetch is meant.")
        if erasing.unfinished():
            _resume(archive, terminal)
        return
    _describe(found, terminal)
    if options["dry_run"]:
        terminal.say("Nothing was changed.")
        return
    if not options["yes"]:
        _confirm(found.num_rows)
    with terminal.progress("search", unit="bytes") as progress:
        erased = erasing.erase(archive.url, asked, advance=progress.advance)
    if erased:
        _report(archive, erased.fetch_count, erased.proof, terminal)


def _resume(archive: Archive, terminal: Terminal) -> None:
    with terminal.progress("search", unit="bytes") as progress:
        done = erasing.resume(archive.url, advance=progress.advance)
    if not done:
        terminal.say("No erasure was interrupted.")
    for erased in done:
        _report(archive, erased.fetch_count, erased.proof, terminal)


def _asked(options: Options) -> Asked:
    by: By = next(by for by in ("url", "key", "where") if options[by] is not None)
    return Asked(by=by, text=options[by], feed=options["feed"])


def _describe(found: pa.Table, terminal: Terminal) -> None:
    holds = pc.fill_null(pc.equal(found["payload_id"], found["fetch_id"]), False)
    stored = pc.if_else(holds, found["body_size"], 0)
    by_feed = (
        found.append_column("bodies", pc.fill_null(stored, 0))
        .group_by("feed")
        .aggregate([("fetch_id", "count"), ("bodies", "sum"), *_ENDS])
        .sort_by("feed")
    )
    terminal.say(
        printing.table(
            [
                {
                    "feed": row["feed"],
                    "payloads": row["fetch_id_count"],
                    "bodies": row["bodies_sum"],
                    "first": row["fetched_at_min"].strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "last": row["fetched_at_max"].strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
                for row in by_feed.to_pylist()
            ]
        )
    )
    step = max(1, found.num_rows // _SAMPLE)
    for row in found.take(list(range(0, found.num_rows, step))[:_SAMPLE]).to_pylist():
        at = row["fetched_at"].strftime("%Y-%m-%dT%H:%M:%SZ")
        terminal.say(f"  {at}  {row['method']} {row['url']}  {row['status'] or '-'}")
    if found.num_rows > _SAMPLE:
        terminal.say(f"  … and {found.num_rows - _SAMPLE:,} more")


_ENDS = [("fetched_at", "min"), ("fetched_at", "max")]


def _confirm(count: int) -> None:
    if not sys.stdin.isatty():
        raise CommandError("Nothing was erased: there is nobody to ask. Add --yes to erase them.")
    if input(f"Erase these {count:,} fetches for good? Type yes: ").strip() != "yes":
        raise CommandError("Nothing was erased.")


def _report(archive: Archive, count: int, proof: Proof, terminal: Terminal) -> None:
    searched = (
        f"{proof.file_count:,} files, {printing.size(proof.byte_count)}, and "
        f"{proof.table_count:,} tables searched"
    )
    for url in proof.mentioned:
        terminal.say(f"Other fetches still mention {url}: in headers or bodies of their own.")
    if not is_local(archive.url):
        terminal.say("A bucket that keeps old versions of objects keeps the erased ones, too.")
    if connection.vendor == "postgresql":
        terminal.say("PostgreSQL keeps deleted rows in its files until `VACUUM FULL`.")
    for left in proof.left:
        terminal.complain(left)
    if proof.left:
        raise CommandError(
            f"Erased {count:,} fetches; {searched}; something is left, see above. Remove it, then "
            "run `manage.py archive erase --resume` to search again."
        )
    terminal.say(f"Erased {count:,} fetches; {searched}: nothing is left.")


ACTIONS = [
    Action(
        name="erase",
        summary="Remove fetches and everything derived from them, and prove it.",
        examples=_EXAMPLES,
        add_arguments=_arguments,
        run=_erase,
    )
]
