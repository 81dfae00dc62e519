"""What passes between the server and its SQL processes: questions one way, frames the other."""

import os
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import orjson

Form = Literal["json", "jsonl", "csv", "arrow", "parquet"]
FORMS: tuple[Form, ...] = ("json", "jsonl", "csv", "arrow", "parquet")
Parameters = list[Any] | dict[str, Any]

HEAD, DATA, END, ERROR, READY = b"H", b"D", b"Z", b"E", b"R"
# A frame: its kind, the length of what follows, and that.
PREFIX = struct.Struct(">cI")
# Neither side ever holds more than this of an answer's text.
LARGEST_FRAME = 256 * 1024
# Whatever else the machine has to do comes first.
NICENESS = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One statement, and how it is to be answered."""

    sql: str
    parameters: Parameters | None = None
    """A list for `?` and `$1`, a dict for `$name`."""
    form: Form = "json"
    rows: int | None = None
    """The answer is cut after so many rows."""
    rows_allowed: int
    """An answer that has more rows, and was not asked to be cut, fails."""
    seconds: float
    """Computing and sending take at most this long."""

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"{self.form} is none of {', '.join(FORMS)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a statement is answered: a build, what may be read besides, and the room there is."""

    build: str
    folders: list[str]
    spill: str
    memory_mb: int


def pack(asked: Asked, place: Place) -> bytes:
    """A question as one frame."""
    body = orjson.dumps({"asked": asdict(asked), "place": asdict(place)})
    return PREFIX.pack(DATA, len(body)) + body


def unpack(body: bytes) -> tuple[Asked, Place]:
    """What `pack` packed."""
    found = orjson.loads(body)
    return Asked(**found["asked"]), Place(**found["place"])


def questions(source: int) -> Iterator[bytes]:
    """The bodies of the frames that arrive in a pipe, until it is closed."""
    with os.fdopen(source, "rb") as pipe:
        while len(prefix := pipe.read(PREFIX.size)) == PREFIX.size:
            _, length = PREFIX.unpack(prefix)
            yield pipe.read(length)


class Frames:
    """The way back: frames written into a pipe. Blocks while nobody reads them."""

    def __init__(self, target: int) -> None:
        self._target = target

    def send(self, kind: bytes, body: bytes | memoryview) -> None:
        """Write one frame; data that is long, in several."""
        view = memoryview(body)
        for start in range(0, len(view) or 1, LARGEST_FRAME):
            piece = view[start : start + LARGEST_FRAME]
            self._write(PREFIX.pack(kind, len(piece)))
            self._write(piece)

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._target, view) :]
