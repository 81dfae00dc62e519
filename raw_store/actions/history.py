"""`archive history`: every fetch of one URL, and its latest version."""

import argparse
import json
from operator import attrgetter
from typing import Any

from .. import printing
from ..archive import Archive
from ..errors import SegmentCorrupt
from . import Action, Options, Terminal

_HISTORY = """
examples:
  manage.py archive history https://example.org/day.json            every fetch, oldest first
  manage.py archive history https://example.org/day.json --latest   the newest version
  manage.py archive history URL --json | jq '.[-1].fetch_id'         exact, for `archive show`

`says`: "version" where the body is a new one, "unchanged" where it is the one before,
"gone" for a 404 or 410; a failure says nothing. No body is read.

A request is found by method and URL, in any spelling that means the same. Where it is more
(a request body, a feed's key headers, or a secret that is masked in the archive), give its
key, the column `request_key`, with --key; it is the same for every fetch of that request.
"""
_COLUMNS = (
    "fetched_at",
    "status",
    "says",
    "body_size",
    "body_digest",
    "fetch_id",
    "payload_id",
    "feed",
    "run_id",
    "truncated",
    "error",
    "request_key",
)
_SHOWN = ("fetched_at", "status", "says", "body_size", "body_digest", "fetch_id", "feed")
_SHOWN_LATEST = ("fetched_at", "body_digest", "fetch_id", "payload_id", "feed")
_DIGITS = 12


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="as it was requested")
    parser.add_argument("--feed", help="only fetches of this feed")
    parser.add_argument("--method", default="GET", help="how it was requested (default GET)")
    parser.add_argument("--key", help="the request's key, where it is more than method and URL")
    parser.add_argument("--latest", action="store_true", help="only the newest version")
    parser.add_argument("--json", action="store_true", help="print JSON, with every column")


def _history(archive: Archive, options: Options, terminal: Terminal) -> None:
    asked = {name: options[name] for name in ("method", "key", "feed")}
    damaged: list[SegmentCorrupt] = []
    found: list[Any]
    columns: tuple[str, ...]
    shown: tuple[str, ...]
    if options["latest"]:
        latest = archive.latest(options["url"], **asked)
        found = [latest] if latest else []
        columns, shown = (*_SHOWN_LATEST, "etag", "last_modified", "request_key"), _SHOWN_LATEST
    else:
        found = [*archive.fetches(options["url"], on_damaged=damaged.append, **asked)]
        columns, shown = _COLUMNS, _SHOWN
    if options["json"]:
        terminal.say(json.dumps([_row(each, columns) for each in found], indent=2))
    elif found:
        terminal.say(printing.table([_short(_row(each, shown)) for each in found]))
    else:
        what = "version" if options["latest"] else "fetch"
        terminal.say(
            f"The archive has no {what} of {options['method']} {options['url']}. "
            "If the request has a body, key headers or a masked secret, look for it by --key."
        )
    terminal.report_damaged(damaged)


def _row(each: Any, columns: tuple[str, ...]) -> dict[str, Any]:
    row = dict(zip(columns, attrgetter(*columns)(each), strict=True))
    row["fetched_at"] = row["fetched_at"].isoformat()
    return {
        name: value if value is None or isinstance(value, int) else str(value)
        for name, value in row.items()
    }


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"body_digest": (row["body_digest"] or "")[:_DIGITS] or None}


ACTIONS = [
    Action(
        name="history",
        summary="List every fetch of one URL.",
        examples=_HISTORY,
        add_arguments=_arguments,
        run=_history,
    )
]
