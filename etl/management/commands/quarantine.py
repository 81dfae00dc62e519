"""`manage.py quarantine`: what transforms could not read, why, and what helps."""

import json
from collections import defaultdict
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser
from django.db.models import Q, QuerySet

from etl.telling import many
from etl.walk import refresh
from raw_store import commands
from raw_store.archive import Archive
from raw_store.errors import ArchiveError, closest_first
from raw_store.payload import Payload
from raw_store.progress import Progress
from reshape.errors import ReshapeError
from reshape.evidence import as_json, code_line, excerpt, helpful_commands, printable
from reshape.grouping import Group, group, name_of
from reshape.models import HeldRow, QuarantineEntry
from reshape.registry import all_transforms
from reshape.retry import retry
from warehouse.errors import WarehouseError

ACTIONS = ("list", "show", "retry")
EXAMPLES = """
actions (list, if none is named):
  list [SOURCE|FEED…]      groups: how often, first and last seen, what it says, an example to show
  show ENTRY…              everything on one entry: address, time, error, offending value, the line
                           of the transform, the body near it, what to run next
  retry [SOURCE|FEED|ENTRY…]
                           parse these payloads again with the code as it is, then replay; says
                           how many now read

An ENTRY is a fetch id, or FETCH_ID:ORDINAL for one row of a payload; lists name them.

examples:
  manage.py quarantine                              every group, the largest first
  manage.py quarantine quakes                       those of one source
  manage.py quarantine list quakes.day --all        one line per entry
  manage.py quarantine list --error KeyError --json
  manage.py quarantine show 0190a1b2-…              why this payload, and what helps
  manage.py quarantine retry quakes --error ImportError
                                                    after an upgrade of a library
  manage.py quarantine --held                       rows that wait for the target of a link

You seldom need retry: after a change of the transform, `manage.py replay SOURCE` reads anew, and an
entry clears itself. `replay SOURCE --diff` first shows what would change.
"""


class Command(commands.Command):
    help = (
        "What transforms could not read: payloads, and single rows where a transform says "
        'bad_rows="row". An entry clears itself in the next replay that can read it.'
    )

    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "words", nargs="*", metavar="list|show|retry SOURCE|FEED|ENTRY", help="see below"
        )
        parser.add_argument("--source", help="only of this source")
        parser.add_argument("--feed", help="only of this feed")
        parser.add_argument("--transform", help="only of this transform (source.function)")
        parser.add_argument("--error", help="only this kind of error, such as KeyError")
        parser.add_argument("--all", action="store_true", help="list every entry, not the groups")
        parser.add_argument(
            "--held",
            action="store_true",
            help="list instead the rows that wait for the target of a foreign key",
        )
        parser.add_argument("--limit", type=int, default=50, help="lines at most (default 50)")
        parser.add_argument("--json", action="store_true", help="one JSON object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        words = list(options["words"])
        action = words.pop(0) if words and words[0] in ACTIONS else "list"
        try:
            if options["held"]:
                self._show_held(words, options)
            elif action == "show":
                self._show(words, options)
            elif action == "retry":
                self._retry(_entries(words, options), options)
            else:
                self._list(_entries(words, options), options)
        except (ArchiveError, ReshapeError, WarehouseError) as error:
            raise CommandError(str(error)) from error

    def _list(self, entries: QuerySet[QuarantineEntry], options: dict[str, Any]) -> None:
        limit = options["limit"]
        if options["all"]:
            for entry in entries[:limit]:
                self._list_entry(entry, options)
            self._close(entries.count(), options, "Nothing is in quarantine.")
            return
        groups = group(entries.iterator())
        for each in groups[:limit]:
            if options["json"]:
                self._json({**asdict(each), "entry_count": each.entry_count})
            else:
                self._list_group(each)
        self._close(len(groups), options, "Nothing is in quarantine.")

    def _list_group(self, each: Group) -> None:
        parts = ((each.payload_count, "payload"), (each.row_count, "row"))
        self.stdout.write(
            f"{' and '.join(many(count, what) for count, what in parts if count)} of {each.feed}, "
            f"{each.first_fetched_at:%Y-%m-%d %H:%M} to {each.last_fetched_at:%Y-%m-%d %H:%M}: "
            f"{each.error}\n    {printable(each.message)}"
        )
        if each.values:
            self.stdout.write(f"    values: {printable(', '.join(each.values))}")
        self.stdout.write(f"    look at one: manage.py quarantine show {each.example}")

    def _list_entry(self, entry: QuarantineEntry, options: dict[str, Any]) -> None:
        if options["json"]:
            self._json({name: getattr(entry, name) for name in _COLUMNS} | {"id": name_of(entry)})
            return
        key = f"{entry.key} " if entry.key else ""
        self.stdout.write(
            f"{name_of(entry)}  {entry.fetched_at:%Y-%m-%d %H:%M}  {entry.feed}  {entry.error}\n"
            f"    {printable(key + entry.message)}"
        )

    def _show(self, words: list[str], options: dict[str, Any]) -> None:
        if not words:
            raise CommandError("Say which: `manage.py quarantine show FETCH_ID`; list names them.")
        for word in words:
            entries = _entries([word], options)
            count = entries.count()
            if not count:
                raise CommandError(
                    f"Nothing of {word!r} is in quarantine. `manage.py quarantine list --all` "
                    "names every entry; one that a replay could read has cleared itself."
                )
            for entry in entries[: options["limit"]]:
                self._show_entry(entry, options)
            self._close(count, options, "")

    def _show_entry(self, entry: QuarantineEntry, options: dict[str, Any]) -> None:
        damage: list[str] = []
        found = Archive().read_many(
            [entry.fetch_id], on_damaged=lambda error: damage.append(str(error))
        )
        payload = found.get(entry.fetch_id)
        if options["json"]:
            self._json({**as_json(entry, payload), "damaged": damage})
            return
        self.stdout.write(f"{name_of(entry)}  {entry.transform}")
        for label, text in _facts(entry, payload):
            self.stdout.write(f"  {label:<10}{printable(text)}")
        for problem in damage:
            self.stdout.write(f"  {'damaged':<10}{problem}")
        if code := code_line(entry):
            self.stdout.write(f"  {'code':<10}{code.file}:{code.line}\n{'':<12}{code.text}")
        if payload and (piece := excerpt(payload, entry)):
            self.stdout.write(
                f"  {'body':<10}from character {piece.offset:,} ({_NEAR[piece.found]})\n"
            )
            for line in printable(piece.text).splitlines():
                self.stdout.write(f"    | {line}")
        self.stdout.write("  next")
        for command, tells in helpful_commands(entry):
            self.stdout.write(f"    {printable(command)}\n{'':<8}{tells}")

    def _retry(self, entries: QuerySet[QuarantineEntry], options: dict[str, Any]) -> None:
        known = {transform.name: transform for transform in all_transforms()}
        chosen: dict[str, set[str]] = defaultdict(set)
        for name, fetch_id in entries.values_list("transform", "fetch_id"):
            chosen[name].add(str(fetch_id))
        total = sum(map(len, chosen.values()))
        archive = Archive()
        with Progress("retry", total, quiet=options["verbosity"] == 0 or not total) as shown:
            for name in sorted(chosen):
                if name in known:
                    retry(known[name], chosen[name], archive, advance=shown.advance)
        problem: ReshapeError | None = None
        for source in sorted({name.partition(".")[0] for name in chosen if name in known}):
            try:
                # What is retried is of the same code and the same segments.
                refresh(source, anew=True, asked=True)
            except ReshapeError as error:
                problem = error
        still = sum(len(_still_there(name) & chosen[name]) for name in chosen)
        if options["json"]:
            self._json({"payloads": total, "read": total - still, "still_in_quarantine": still})
        else:
            self.stdout.write(
                f"{many(total, 'payload')} parsed again: {total - still:,} now read, "
                f"{still:,} still in quarantine"
            )
            if still:
                self.stdout.write(
                    "  The code is the same. Teach the transform what they hold, then replay: "
                    "`manage.py quarantine show ENTRY` shows where it fails."
                )
        if problem:
            raise problem

    def _show_held(self, words: list[str], options: dict[str, Any]) -> None:
        rows = HeldRow.objects.order_by("model", "field", "key")
        if source := (words[0] if words else options["source"]):
            rows = rows.filter(source=_known("source", source))
        for row in rows[: options["limit"]]:
            if options["json"]:
                shown = {
                    name: str(getattr(row, name)) for name in ("model", "key", "field", "target")
                }
                self._json({**shown, "fetch_id": str(row.fetch_id)})
            else:
                self.stdout.write(f"{row.model} {row.key} waits for {row.field} {row.target!r}")
        self._close(rows.count(), options, "No row is held.")

    def _close(self, count: int, options: dict[str, Any], nothing: str) -> None:
        if options["json"]:
            return
        if not count:
            self.stdout.write(nothing)
        elif count > options["limit"]:
            self.stdout.write(f"… {count - options['limit']:,} more; --limit {count} shows all")

    def _json(self, value: object) -> None:
        self.stdout.write(json.dumps(value, default=str))


_COLUMNS = [field.name for field in QuarantineEntry._meta.concrete_fields]
_NEAR = {
    "position": "where the error says",
    "value": "near the offending value",
    "key": "near the row's key",
    "field": "near the field's name",
    "beginning": "its beginning; the place is not known",
}


def _facts(entry: QuarantineEntry, payload: Payload | None) -> list[tuple[str, str]]:
    status = "not in the archive" if payload is None else f"status {payload.status or 'unknown'}"
    size = f", {payload.body_size:,} bytes" if payload and payload.body_size is not None else ""
    kind = f", {payload.content_type}" if payload and payload.content_type else ""
    facts = [
        ("url", entry.url),
        ("fetched", f"{entry.fetched_at:%Y-%m-%d %H:%M:%S} UTC, {status}{kind}{size}"),
        ("error", f"{entry.error}: {entry.message}"),
        ("model", f"{entry.model}.{entry.field}".strip(".")),
        ("value", entry.value),
        ("row", f"number {entry.ordinal} from 0 {entry.key}" if entry.ordinal >= 0 else ""),
    ]
    return [(label, text) for label, text in facts if text]


def _entries(words: list[str], options: dict[str, Any]) -> QuerySet[QuarantineEntry]:
    """The entries that words (sources, feeds, entries) and options choose, the newest first."""
    chosen = Q()
    for word in words:
        chosen |= _chosen(word)
    if options["source"]:
        chosen &= Q(source=_known("source", options["source"]))
    if options["feed"]:
        chosen &= Q(feed=_known("feed", options["feed"]))
    if options["transform"]:
        chosen &= Q(transform=_known("transform", options["transform"]))
    if options["error"]:
        chosen &= Q(error=options["error"])
    return QuarantineEntry.objects.filter(chosen).order_by(
        "-fetched_at", "transform", "fetch_id", "ordinal"
    )


def _chosen(word: str) -> Q:
    fetch_id, _, ordinal = word.partition(":")
    try:
        found = Q(fetch_id=UUID(fetch_id))
    except ValueError:
        kind = "feed" if "." in word else "source"
        return Q(**{kind: _known(kind, word)})
    if not ordinal:
        return found
    if not ordinal.isdecimal():
        raise CommandError(f"{word!r} is no entry; write FETCH_ID or FETCH_ID:ORDINAL.")
    return found & Q(ordinal=int(ordinal))


def _still_there(transform: str) -> set[str]:
    entries = QuarantineEntry.objects.filter(transform=transform)
    return {str(fetch_id) for fetch_id in entries.values_list("fetch_id", flat=True)}


def _known(kind: str, name: str) -> str:
    """The name, or `CommandError` listing the sources, feeds or transforms there are."""
    transforms = all_transforms()
    known = {
        "source": {transform.source for transform in transforms},
        "feed": {transform.feed for transform in transforms},
        "transform": {transform.name for transform in transforms},
    }[kind]
    if name not in known:
        listed = ", ".join(closest_first(name, known)) or "none yet"
        with_one = "" if kind == "transform" else " with a transform"
        raise CommandError(
            f"There is no {kind} {name!r}{with_one}. Known {kind}s, closest first: {listed}."
        )
    return name
