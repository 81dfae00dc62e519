"""Evidence: everything that helps with one quarantine entry, found in the archive and the code."""

import ast
import inspect
import linecache
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from raw_store.payload import Payload

from .grouping import name_of
from .models import QuarantineEntry
from .registry import all_transforms
from .sql_transform import is_sql

SEARCHED = 32 * 1024 * 1024
"""Bytes of a body that are searched for the place of an error."""
AROUND = 240
"""Characters shown on either side of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """A piece of a body."""

    offset: int
    """The character that it begins with, from 0."""
    text: str
    found: str
    """What it was searched for: `position`, `value`, `key`, `field`, or `beginning`."""


def excerpt(payload: Payload, entry: QuarantineEntry) -> Excerpt | None:
    """The body near what is wrong; its beginning where that is not found, None without a body."""
    text = _text(payload)
    if text is None:
        return None
    place, found = _place(text, entry)
    start = max(0, place - AROUND)
    return Excerpt(offset=start, text=text[start : place + AROUND], found=found)


def _text(payload: Payload) -> str | None:
    if payload.spooled_body is not None:
        raw = b""
        for chunk in payload.spooled_body.chunks():
            raw += chunk
            if len(raw) >= SEARCHED:
                break
    elif payload.body is not None:
        raw = payload.body[:SEARCHED]
    else:
        return None
    match = re.search(r"charset\s*=\s*[\"']?([^\s;\"']+)", payload.content_type or "", re.I)
    try:
        return raw.decode(match[1] if match else "utf-8", "replace")
    except LookupError:
        return raw.decode("utf-8", "replace")


def _place(text: str, entry: QuarantineEntry) -> tuple[int, str]:
    if (position := _position(text, entry.message)) is not None:
        return position, "position"
    keys = [str(part) for part in orjson.loads(entry.key)] if entry.key else []
    near = next((at for part in keys if (at := _find(text, part)) >= 0), -1)
    for value in _spellings(entry.value):
        at = _find(text, value, max(near, 0))
        if at < 0:
            at = _find(text, value)
        if at >= 0:
            return at, "value"
    if near >= 0:
        return near, "key"
    if entry.field and (at := _find(text, entry.field)) >= 0:
        return at, "field"
    return 0, "beginning"


def _position(text: str, message: str) -> int | None:
    """Where the message says that the error is: JSON's `char 7`, XML's `line 2, column 3`."""
    if match := re.search(r"\(char (\d+)\)", message):
        return min(int(match[1]), len(text))
    if match := re.search(r"line (\d+), column (\d+)", message):
        at = 0
        for _ in range(int(match[1]) - 1):
            following = text.find("\n", at)
            if following < 0:
                break
            at = following + 1
        return min(at + int(match[2]) - 1, len(text))
    return None


def _find(text: str, wanted: str, start: int = 0) -> int:
    quoted = text.find(f'"{wanted}"', start)
    return quoted if quoted >= 0 else text.find(wanted, start)


def _spellings(value: str) -> list[str]:
    """How a value, kept as Python writes it, may stand in a body."""
    if not value:
        return []
    if value.endswith("…"):
        return [value[:-1].lstrip("'\"")]
    try:
        read = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return [value]
    if isinstance(read, str):
        return [spelling for spelling in (read, orjson.dumps(read).decode()[1:-1]) if spelling]
    if isinstance(read, bool) or read is None:
        return []
    return [value]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLine:
    """The line of the transform that met the error, as the file is now."""

    file: str
    line: int
    text: str


def code_line(entry: QuarantineEntry) -> CodeLine | None:
    """The transform's line that the entry names; None where it names none, as of a statement in
    SQL, or it is gone."""
    match = re.search(r"\(line (\d+) of ([^()\s]+)\)", entry.message)
    transform = next((each for each in all_transforms() if each.name == entry.transform), None)
    if not match or not transform or is_sql(transform):
        return None
    file = inspect.getsourcefile(transform.function)
    if not file or Path(file).name != match[2]:
        return None
    linecache.checkcache(file)
    text = linecache.getline(file, int(match[1])).strip()
    return CodeLine(file=file, line=int(match[1]), text=text) if text else None


def helpful_commands(entry: QuarantineEntry) -> list[tuple[str, str]]:
    """What to run next, each with what it tells."""
    return [
        (f"manage.py archive show {entry.fetch_id} --body", "the body, byte for byte"),
        (
            f"manage.py archive history {shlex.quote(entry.url)} --feed {entry.feed}",
            "every fetch of its address",
        ),
        (f"manage.py drift {entry.feed}", "which fields appeared, vanished, changed type"),
        (f"manage.py replay {entry.source} --diff", "what a corrected transform would change"),
        (f"manage.py quarantine retry {name_of(entry)}", "read it again, code unchanged"),
    ]


def printable(text: str) -> str:
    """Text from a payload as a terminal may show it: control characters written out."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def as_json(entry: QuarantineEntry, payload: Payload | None) -> dict[str, Any]:
    """Everything on one entry, as plain values."""
    code = code_line(entry)
    piece = excerpt(payload, entry) if payload else None
    return {
        "entry": name_of(entry),
        **{
            name: getattr(entry, name)
            for name in ("transform", "feed", "source", "fetch_id", "ordinal", "url", "fetched_at")
        },
        **{
            name: getattr(entry, name)
            for name in ("error", "message", "model", "field", "value", "key")
        },
        "status": payload.status if payload else None,
        "content_type": payload.content_type if payload else None,
        "body_size": payload.body_size if payload else None,
        "code": {"file": code.file, "line": code.line, "text": code.text} if code else None,
        "excerpt": (
            {"offset": piece.offset, "found": piece.found, "text": piece.text} if piece else None
        ),
        "commands": [command for command, _ in helpful_commands(entry)],
    }
