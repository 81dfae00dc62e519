"""`manage.py replay`: derive rows again from the archive."""

import json
import signal
import threading
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from etl.follow import follow
from etl.telling import counts, many, notices
from etl.walk import Refreshed, refresh
from raw_store.archive import Archive
from raw_store.errors import ArchiveError
from reshape.difference import Difference
from reshape.errors import ReshapeError
from reshape.neighbours import in_order
from reshape.registry import all_transforms
from reshape.replay import (
    Derivation,
    as_json,
    derive,
    differences,
    discard,
    known_transforms,
    write_into,
)
from warehouse.errors import WarehouseError

EXAMPLES = """
examples:
  manage.py replay                                every source, from all of the archive
  manage.py replay quakes                         one source
  manage.py replay quakes --diff                  what a replay would change; changes nothing
  manage.py replay quakes --as-of 2026-01-31      rows as the archive stood then, made live
  manage.py replay quakes --as-of 2026-01-31 --into january.duckdb
                                                  the same in a file of its own; nothing live
  manage.py replay --watch                        keep on as the archive grows, whoever fills it

A replay touches no network. Only payloads that no transform of the present code has
read are parsed; the database is compared row by row and only the difference is written.
"""


class Command(BaseCommand):
    help = "Derive rows again from the archive: parse, link, compute rollups, load the difference."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", nargs="*", help="sources to replay; all of them if none")
        parser.add_argument(
            "--as-of",
            type=_moment,
            metavar="TIME",
            help="use only what was fetched up to TIME (ISO 8601, UTC unless it says otherwise; "
            "a date means its end)",
        )
        target = parser.add_mutually_exclusive_group()
        target.add_argument(
            "--into", type=Path, metavar="FILE", help="write the rows into a new DuckDB file only"
        )
        target.add_argument(
            "--diff", action="store_true", help="show what would change, and change nothing"
        )
        target.add_argument(
            "--watch",
            action="store_true",
            help="replay again whenever something was archived, until stopped",
        )
        parser.add_argument("--json", action="store_true", help="print the outcome as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        sources = options["source"] or sorted({found.source for found in all_transforms()})
        if options["into"] and len(sources) != 1:
            raise CommandError("--into takes exactly one source: name it.")
        if options["watch"] and (options["as_of"] or options["json"]):
            raise CommandError("--watch goes with no --as-of and no --json: it never ends.")
        try:
            if options["watch"]:
                _watch(in_order(known_transforms(source)[0].source for source in sources))
                return
            for source in in_order(sources):
                self._replay(source, options)
        except (ReshapeError, ArchiveError, WarehouseError, FileExistsError) as error:
            raise CommandError(str(error)) from error

    def _replay(self, source: str, options: dict[str, Any]) -> None:
        progress = options["verbosity"] > 0
        if not (options["diff"] or options["into"]):
            done = refresh(source, as_of=options["as_of"], progress=progress, trust_copies=False)
            self._show_replay(done, options)
            return
        derivation = derive(source, Archive(), as_of=options["as_of"], progress=progress)
        try:
            if options["diff"]:
                self._show_diff(source, derivation, options)
            else:
                self._write_into(source, derivation, options)
        finally:
            discard(derivation)

    def _show_replay(self, done: Refreshed, options: dict[str, Any]) -> None:
        loaded = done.loaded.differences.values()
        parsed, linked = done.derivation.parsed, done.derivation.linked
        if options["json"]:
            self._json(_outcome(done))
            return
        self.stdout.write(f"{done.source}: {many(parsed.payload_count, 'payload')} parsed")
        for difference in loaded:
            rows = linked.row_counts.get(difference.table)
            if difference.table.startswith("reshape_") or (rows is None and not difference.total):
                continue
            of = "" if rows is None else f"{rows:>10,} rows"
            self.stdout.write(f"  {difference.table:<32}{of:>16}  {counts([difference])}")
        self._show_notices(done.derivation)
        if options["as_of"]:
            self.stdout.write(
                f"  the live rows stand as of {options['as_of']:%Y-%m-%d %H:%M:%S} UTC until the "
                f"next replay; `manage.py replay {done.source}` brings the present back"
            )
        if done.loaded.withheld_count:
            self.stdout.write(
                f"  {many(done.loaded.withheld_count, 'row')} kept that the readable segments do "
                "not explain. Restore the damaged segment, then replay."
            )
        for also in done.dependents:
            self._show_replay(also, options | {"as_of": None})

    def _show_notices(self, derivation: Derivation) -> None:
        for notice in notices(derivation):
            self.stdout.write(f"  {notice}")

    def _show_diff(self, source: str, derivation: Derivation, options: dict[str, Any]) -> None:
        found = differences(derivation)
        if options["json"]:
            self._json({"source": source, "tables": [as_json(entry) for entry in found]})
            return
        if not any(difference.total for difference in found):
            self.stdout.write(f"{source}: a replay would change nothing")
        for difference in found:
            if difference.total:
                self.stdout.write(f"{difference.table}: {counts([difference])}")
                for line in _samples(difference):
                    self.stdout.write(f"  {line}")
        self._show_notices(derivation)

    def _write_into(self, source: str, derivation: Derivation, options: dict[str, Any]) -> None:
        rows = write_into(derivation, options["into"])
        if options["json"]:
            self._json({"source": source, "file": str(options["into"]), "rows": rows})
            return
        self.stdout.write(f"{source}: wrote {options['into']}; nothing live has changed")
        for table, count in rows.items():
            self.stdout.write(f"  {table:<32}{count:>10,} rows")

    def _json(self, value: object) -> None:
        self.stdout.write(json.dumps(value, default=str))


def _outcome(done: Refreshed) -> dict[str, Any]:
    """What a replay did, as plain values."""
    parsed, linked = done.derivation.parsed, done.derivation.linked
    return {
        "source": done.source,
        "payloads_parsed": parsed.payload_count,
        "tables": [as_json(found) for found in done.loaded.differences.values()],
        "held": linked.held_count,
        "quarantined": linked.quarantined_count,
        "emptied": [asdict(emptied) for emptied in linked.emptied],
        "damaged": done.derivation.damaged,
        "dependents": [_outcome(also) for also in done.dependents],
    }


def _watch(sources: Iterable[str]) -> None:
    """Follow the archive until SIGINT or SIGTERM; a replay under way is finished first."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    follow(sources, stop)


def _samples(difference: Difference) -> list[str]:
    lines = []
    if difference.changed_by_column:
        listed = ", ".join(
            f"{column} in {count:,}" for column, count in difference.changed_by_column.items()
        )
        lines.append(f"changed columns: {listed}")
    for sample in difference.samples.get("changed", []):
        key = ", ".join(str(value) for value in sample["key"].values())
        for column, change in sample["changes"].items():
            if column != "fetch_id" or len(sample["changes"]) == 1:
                lines.append(f"~ {key}: {column} {change['was']!r} → {change['is']!r}")
    for sign, kind in (("+", "added"), ("-", "removed")):
        for row in difference.samples.get(kind, []):
            shown = ", ".join(f"{name}={value}" for name, value in row.items())
            lines.append(f"{sign} {shown}")
    return lines


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if len(text) == 10:
        moment = moment.replace(hour=23, minute=59, second=59, microsecond=999_999)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
