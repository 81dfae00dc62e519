"""`manage.py drift FEED`: which fields of its payloads appeared, vanished or changed type."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from raw_store import commands, feeds
from raw_store.archive import Archive
from raw_store.errors import ArchiveError
from raw_store.progress import Progress
from reshape.drift import MAP_KEYS, MAX_DEPTH, MAX_FIELDS, Field, Report, TypeSeen
from reshape.evidence import printable
from reshape.observing import MAX_BODY, Observed, observe_feed, versions_of

EXAMPLES = f"""
examples:
  manage.py drift quakes.day                     what changed over all of its history
  manage.py drift quakes.day --since 2026-01-01  among the versions seen since then
  manage.py drift quakes.day --all               every field, also those that never changed
  manage.py drift quakes.day --json              the same with exact times, for programs

Reads the bodies of a feed's versions out of the archive, in the order of time; no transform, no
network. JSON is followed field by field, XML and HTML by the paths of their elements, CSV by its
header's columns.

A field is judged against its parent: it vanished where payloads that have the parent came later
without it, more of them than ever before. An empty list says nothing about the fields of its items.
A type changed where one type ended before another began; null counts as a type. Types that
alternate are mixed, and only --all shows them. An object with more than {MAP_KEYS} distinct keys is
a map: its keys are shown as *, and so is at once a key that is a number, a date or an id.
"""


class Command(commands.Command):
    help = "Tell which fields of a feed's payloads appeared, vanished or changed type, and when."

    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("feed", help="the feed, written source.feed")
        parser.add_argument(
            "--since",
            type=commands.moment,
            metavar="TIME",
            help="only versions seen at TIME or later (ISO 8601, UTC unless it says otherwise)",
        )
        parser.add_argument("--all", action="store_true", help="list every field")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        archive = Archive().pinned()
        feed = options["feed"]
        try:
            if not archive.segments(feed):
                feeds.get(feed)
            total = len(versions_of(feed, archive, since=options["since"], damaged=[]))
            with Progress(
                f"drift {feed}", total, quiet=options["verbosity"] == 0 or not total
            ) as shown:
                observed = observe_feed(
                    feed, archive, since=options["since"], advance=shown.advance
                )
        except ArchiveError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(observed), default=str))
        else:
            self._show(observed, options["all"])
        if observed.damaged:
            raise CommandError(
                f"{len(observed.damaged)} segments could not be read, so the report lacks what "
                "they hold. Run `manage.py archive verify`."
            )

    def _show(self, observed: Observed, every: bool) -> None:
        report = observed.report
        self.stdout.write(_head(observed))
        for note in _notes(observed):
            self.stdout.write(f"  {note}")
        if not report.payload_count:
            return
        drifted = [each for each in report.fields if each.is_drift]
        for title, holds, line in _SECTIONS:
            found = [each for each in drifted if holds(each)]
            if found:
                self.stdout.write(f"{title} ({len(found):,})")
            for each in found:
                self.stdout.write(f"  {printable(each.path)}\n      {line(each)}")
        if not drifted:
            self.stdout.write(f"No drift: {len(report.fields):,} fields, none of them changed.")
        if every:
            self.stdout.write(f"every field ({len(report.fields):,})")
            for each in report.fields:
                self.stdout.write(f"  {printable(each.path)}\n      {_spans(each)}")


def _head(observed: Observed) -> str:
    report: Report = observed.report
    if report.first_at is None or report.last_at is None:
        return f"{observed.feed}: no version with a body"
    return (
        f"{observed.feed}: {report.payload_count:,} versions, {_day(report.first_at)} to "
        f"{_day(report.last_at)}, {len(report.fields):,} fields"
    )


def _notes(observed: Observed) -> list[str]:
    report = observed.report
    counted = [
        (observed.too_large_count, f"versions of more than {MAX_BODY >> 20} MB were not read"),
        (observed.without_body_count, "versions have no body any more, or a damaged one"),
        (report.too_deep_count, f"versions hold fields deeper than {MAX_DEPTH}, not looked at"),
        (report.left_out_count, f"times a field beyond the first {MAX_FIELDS:,} was left out"),
    ]
    return [f"{count:,} {what}" for count, what in counted if count] + observed.damaged


def _appeared(each: Field) -> str:
    return f"first seen {_minute(each.first_at)}, {_presence(each)}; {_types(each)}"


def _vanished(each: Field) -> str:
    return (
        f"last seen {_minute(each.last_at)}, {_presence(each)}; missing from "
        f"{each.missing_count:,} since; {_types(each)}"
    )


def _presence(each: Field) -> str:
    return f"in {each.payload_count:,} of {each.parent_count:,} versions"


def _types(each: Field) -> str:
    return " or ".join(seen.name for seen in each.types)


def _spans(each: Field) -> str:
    return f"{_presence(each)}; {', '.join(map(_span, each.types))}"


def _span(seen: TypeSeen) -> str:
    return (
        f"{seen.name} {_minute(seen.first_at)} to {_minute(seen.last_at)} "
        f"({seen.payload_count:,} versions)"
    )


_SECTIONS: list[tuple[str, Callable[[Field], bool], Callable[[Field], str]]] = [
    ("changed type", lambda each: "changed type" in each.status, _spans),
    ("vanished", lambda each: "vanished" in each.status, _vanished),
    (
        "appeared",
        lambda each: "appeared" in each.status and "vanished" not in each.status,
        _appeared,
    ),
]


def _as_json(observed: Observed) -> dict[str, Any]:
    report = observed.report
    return {
        "feed": observed.feed,
        "version_count": report.payload_count,
        "first_at": report.first_at,
        "last_at": report.last_at,
        "too_large_count": observed.too_large_count,
        "without_body_count": observed.without_body_count,
        "too_deep_count": report.too_deep_count,
        "left_out_count": report.left_out_count,
        "damaged": observed.damaged,
        "fields": [
            {
                "path": each.path,
                "status": list(each.status),
                "version_count": each.payload_count,
                "parent_count": each.parent_count,
                "first_at": each.first_at,
                "last_at": each.last_at,
                "missing_count": each.missing_count,
                "types": [
                    {
                        "type": seen.name,
                        "version_count": seen.payload_count,
                        "first_at": seen.first_at,
                        "last_at": seen.last_at,
                    }
                    for seen in each.types
                ],
            }
            for each in report.fields
        ],
    }


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
