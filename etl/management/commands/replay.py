"""`manage.py replay`: derive rows again from the archive."""

import contextlib
import json
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from etl.diffing import (
    SAMPLES_IN_HTML,
    Diff,
    as_html,
    as_plain,
    as_text,
    find_diff,
    version_lines,
)
from etl.follow import follow
from etl.telling import many, replayed, replayed_plain, written_lines
from etl.walk import Refreshed, refresh, sweep
from ingest.display import as_size
from raw_store import commands
from raw_store.archive import Archive
from raw_store.errors import ArchiveError
from raw_store.locks import RECORDS, shared
from reshape.against import LAST, versions_of
from reshape.difference import SAMPLE_SIZE
from reshape.errors import LimitExceeded, ReshapeError
from reshape.files import new_file
from reshape.into import write_into
from reshape.neighbours import in_order
from reshape.registry import all_transforms
from reshape.replay import Derivation, derive, known_transforms
from warehouse.errors import WarehouseError

EXAMPLES = """
examples:
  manage.py replay                                every source, from all of the archive
  manage.py replay quakes                         one source
  manage.py replay quakes --full                  link every row anew, compare it with the database
  manage.py replay quakes --diff                  what a replay would change; changes nothing
  manage.py replay quakes --diff --html diff.html
                                                  the same as a page to look at
  manage.py replay quakes --diff --against last   what code edited since the last replay changes
  manage.py replay quakes --versions              the versions that --against can name
  manage.py replay quakes --as-of 2026-01-31      rows as the archive stood then, made live
  manage.py replay quakes --as-of 2026-01-31 --into january.duckdb
                                                  the same in a file of its own; nothing live
  manage.py replay quakes --despite-quarantine    load though more is in quarantine than allowed
  manage.py replay --watch                        keep on as the archive grows, whoever fills it

A replay touches no network. Only payloads that no transform of the present code has
read are parsed, only rows that they touch are linked again, and only what differs is written.
--full takes nothing for granted but the record files: every row is linked anew and compared
with the database.
With --diff the exit code says what was found: 0 nothing changes, 1 something does, 2 an error.
"""


class Command(commands.Command):
    help = "Derive rows again from the archive: parse, link, compute rollups, load the difference."

    examples = EXAMPLES

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
            "--sweep",
            action="store_true",
            help="replay nothing; remove record files of earlier code, unused for RECORDS_GRACE",
        )
        target.add_argument(
            "--watch",
            action="store_true",
            help="replay again whenever something was archived, until stopped",
        )
        target.add_argument(
            "--versions",
            action="store_true",
            help="list the versions of the transforms whose record files are there",
        )
        parser.add_argument(
            "--against",
            action="append",
            default=[],
            metavar="VERSION",
            help=f"with --diff: compare with what an earlier version of a transform gave, not with "
            f"the live rows: a fingerprint or its beginning, or {LAST!r}; may be repeated",
        )
        parser.add_argument(
            "--html", type=Path, metavar="FILE", help="with --diff: write a page that stands alone"
        )
        parser.add_argument(
            "--full",
            action="store_true",
            help="link everything anew and compare every row with the database, "
            "whatever the last replay left",
        )
        parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
        parser.add_argument(
            "--despite-quarantine",
            action="store_true",
            help="load although more is in quarantine than a feed's quarantine_limit allows",
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        with commands.failures_end_with_2() if options["diff"] else contextlib.nullcontext():
            return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        sources = options["source"] or sorted({found.source for found in all_transforms()})
        if (options["against"] or options["html"]) and not options["diff"]:
            raise CommandError("--against and --html go with --diff.", returncode=2)
        if options["against"] and len(sources) != 1:
            raise CommandError("--against takes exactly one source: name it.", returncode=2)
        if options["watch"] and (options["as_of"] or options["json"]):
            raise CommandError("--watch goes with no --as-of and no --json: it never ends.")
        if options["watch"] and options["despite_quarantine"]:
            raise CommandError("--watch minds every quarantine_limit; leave --despite-quarantine.")
        is_changed = False
        withheld: list[str] = []
        try:
            if options["watch"]:
                _watch(in_order(known_transforms(source)[0].source for source in sources))
                return
            if options["sweep"]:
                self._sweep(options)
                return
            with _stoppable():
                if options["versions"]:
                    self._list_versions(sources, options)
                elif options["diff"]:
                    is_changed = self._show_diff(sources, options)
                elif options["into"]:
                    self._write_into(sources, options)
                else:
                    withheld = self._replay_each(in_order(sources), options)
        except (
            ReshapeError,
            ArchiveError,
            WarehouseError,
            FileExistsError,
            FileNotFoundError,
        ) as error:
            raise CommandError(str(error)) from error
        if withheld:
            raise CommandError("\n".join(withheld))
        if is_changed:
            sys.exit(1)

    def _replay_each(self, sources: list[str], options: dict[str, Any]) -> list[str]:
        """Replay the sources; return why those were not loaded that exceed a quarantine limit."""
        withheld = []
        for source in sources:
            try:
                self._replay(source, options)
            except LimitExceeded as error:
                withheld.append(str(error))
                if options["json"]:
                    self._json({"source": source, "limit_exceeded": str(error)})
        return withheld

    def _replay(self, source: str, options: dict[str, Any]) -> None:
        done = refresh(
            source,
            as_of=options["as_of"],
            progress=options["verbosity"] > 0,
            trust_copies=not options["full"],
            asked=True,
            despite_quarantine=options["despite_quarantine"],
        )
        self._show_replay(done, options)

    def _show_replay(self, done: Refreshed, options: dict[str, Any]) -> None:
        if options["json"]:
            self._json(replayed_plain(done))
            return
        self._lines(replayed(done, as_of=options["as_of"]))
        for also in done.dependents:
            self._lines(replayed(also))

    def _show_diff(self, sources: list[str], options: dict[str, Any]) -> bool:
        """Show what would change, per source; return whether anything would."""
        if not options["html"]:
            diffs = list(self._diffs(sources, options))
        else:
            # The file first: hours of work are no time to learn that it cannot be made.
            with new_file(options["html"]) as file:
                diffs = list(self._diffs(sources, options))
                file.write_text(as_html(diffs), encoding="utf-8")
            if not options["json"]:
                self.stdout.write(f"wrote {options['html']}")
        return any(diff.change_count for diff in diffs)

    def _diffs(self, sources: list[str], options: dict[str, Any]) -> Iterator[Diff]:
        for source in sources:
            diff = find_diff(
                source,
                as_of=options["as_of"],
                against=options["against"],
                progress=options["verbosity"] > 0,
                sample_size=SAMPLES_IN_HTML if options["html"] else SAMPLE_SIZE,
            )
            if options["json"]:
                self._json(as_plain(diff))
            else:
                self._lines(as_text(diff))
            yield diff

    def _list_versions(self, sources: list[str], options: dict[str, Any]) -> None:
        found = [version for source in sources for version in versions_of(source)]
        for version in found if options["json"] else ():
            self._json(asdict(version))
        if not options["json"]:
            self._lines(version_lines(found))

    def _write_into(self, sources: list[str], options: dict[str, Any]) -> None:
        archive, as_of = Archive(), options["as_of"]
        progress = options["verbosity"] > 0
        told: list[Derivation] = []

        def derivations() -> Iterator[Derivation]:
            for source in sources:
                told.append(derive(source, archive, as_of=as_of, progress=progress))
                yield told[-1]

        # An erasure waits: what it erases must not come to lie in the file after it.
        with shared(RECORDS):
            written = write_into(options["into"], derivations(), archive, as_of=as_of)
        if not options["json"]:
            self.stdout.write(f"wrote {options['into']}; nothing live has changed")
        for derivation in told:
            source = derivation.linked.source
            if options["json"]:
                file = str(options["into"])
                self._json({"source": source, "file": file, "rows": written[source]})
                continue
            self._lines(written_lines(derivation, written[source]))

    def _lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write(line)

    def _sweep(self, options: dict[str, Any]) -> None:
        swept = sweep()
        if options["json"]:
            self._json({"folders": swept.labels, "freed_bytes": swept.freed_bytes})
            return
        for label in swept.labels:
            self.stdout.write(f"removed {label}")
        self.stdout.write(
            f"{many(len(swept.labels), 'folder')} of record files removed, "
            f"{as_size(swept.freed_bytes)} freed"
        )

    def _json(self, value: object) -> None:
        self.stdout.write(json.dumps(value, default=str))


def _watch(sources: Iterable[str]) -> None:
    """Follow the archive until SIGINT or SIGTERM; a replay under way is finished first."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    follow(sources, stop)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the replay cleanly: no process stays, no file is half written."""
    stopped_by: list[signal.Signals] = []

    def stop(number: int, frame: object) -> None:
        stopped_by.append(signal.Signals(number))
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if before.get(signal.SIGINT) == signal.SIG_IGN:
        del before[signal.SIGINT]  # as in the background of a shell
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        # DuckDB makes an error of its own of what interrupts a query.
        if not stopped_by and not isinstance(error, KeyboardInterrupt):
            raise
        number = stopped_by[-1] if stopped_by else signal.SIGINT
        raise CommandError(
            "Interrupted. No table is half loaded, and what was parsed is kept: the next replay "
            "goes on from there.",
            returncode=128 + number,
        ) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _moment(text: str) -> datetime:
    """A time, or the end of a day."""
    found = commands.moment(text)
    with contextlib.suppress(ValueError):
        date.fromisoformat(text)
        found = found.replace(hour=23, minute=59, second=59, microsecond=999_999)
    return found
