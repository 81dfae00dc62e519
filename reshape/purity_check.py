"""Does a transform give the same rows tomorrow? Run it twice, in unlike processes, and compare.

Two fresh processes read the same payloads, with another seed for hashes, another time zone,
another locale, and clocks weeks apart (`reshape.purity_child`). A pure transform notices none of
it.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from raw_store.archive import Archive
from raw_store.payload import Payload
from raw_store.segments import iter_readable

from .errors import ReshapeError
from .registry import Transform, TransformFunction
from .slices import cut

SAMPLE = 100
"""Payloads per transform, spread over its feed's history."""
_ZONES = ("Pacific/Kiritimati", "America/Los_Angeles")
_AHEAD_S = (0, 40 * 86_400 + 12_345)
_FIRST = {"PYTHONHASHSEED": "1", "LC_ALL": "C.UTF-8"}
_SECOND = {
    "PYTHONHASHSEED": "2",
    "LC_ALL": "C",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONUTF8": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Impurity:
    """Something that a transform said the one time and not the other."""

    transform: str
    fetch_id: str
    url: str
    field: str
    """`Model.field`, or what else differs."""
    first: str
    second: str

    def __str__(self) -> str:
        return (
            f"{self.transform}: {self.field} is {self.first} the one time, {self.second} the other "
            f"(fetch {self.fetch_id}, {self.url})"
        )


class PurityUnknown(ReshapeError):
    """The transform could not be run in a process of its own."""


def check_purity(
    function: TransformFunction, payloads: Iterable[Payload], *, name: str = ""
) -> list[Impurity]:
    """Run a transform twice over payloads; return what differs, payload by payload.

    `function` is found by its name in its module. Raises `PurityUnknown`.
    """
    payloads = list(payloads)
    name = name or f"{function.__module__}.{function.__qualname__}"
    if "<locals>" in function.__qualname__:
        raise PurityUnknown(f"{name} is defined inside a function; a new process cannot import it.")
    with TemporaryDirectory(prefix="rootcellar-purity-") as folder:
        work = Path(folder) / "work"
        work.write_bytes(pickle.dumps((function.__module__, function.__qualname__, payloads)))
        files = [Path(folder) / "first", Path(folder) / "second"]
        with ThreadPoolExecutor(2) as both:
            told = list(
                both.map(partial(_run, name, work), files, (_FIRST, _SECOND), _ZONES, _AHEAD_S)
            )
    return [
        Impurity(
            transform=name,
            fetch_id=str(payload.fetch_id),
            url=payload.url,
            field=field,
            first=one,
            second=other,
        )
        for payload, first, second in zip(payloads, *told, strict=True)
        for field, one, other in _differences(first, second)
    ]


def first_of_each(found: Iterable[Impurity]) -> list[Impurity]:
    """The first impurity of each transform and field."""
    first: dict[tuple[str, str], Impurity] = {}
    for impurity in found:
        first.setdefault((impurity.transform, impurity.field), impurity)
    return list(first.values())


def sample(transform: Transform, archive: Archive, count: int = SAMPLE) -> list[Payload]:
    """Up to `count` readable payloads of the transform's feed, spread evenly over its segments."""
    segments = [segment for segment in archive.segments(transform.feed) if segment.row_count]
    places = [
        (segment.path, group)
        for segment in segments
        for piece in cut(archive.url, segment.path)
        for group in piece.groups
    ]
    if not places:
        return []
    wanted = min(len(places), count)
    chosen = [places[index * len(places) // wanted] for index in range(wanted)]
    each = -(-count // wanted)
    found: list[Payload] = []
    for path, group in chosen:
        readable = list(iter_readable(archive.url, path, [group]))
        step = max(1, len(readable) // each)
        found += readable[::step][:each]
    return found[:count]


def _run(
    name: str, work: Path, told: Path, environment: dict[str, str], zone: str, ahead_s: float
) -> Sequence[Any]:
    done = subprocess.run(
        [sys.executable, "-m", "reshape.purity_child", work, told, zone, str(ahead_s)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise PurityUnknown(
            f"{name} could not be run in a process of its own: {said[-1] if said else 'no word'}"
        )
    listed: Sequence[Any] = pickle.loads(told.read_bytes())
    return listed


def _differences(first: Any, second: Any) -> Iterator[tuple[str, str, str]]:
    """Field and both values, for what one payload gave the two times."""
    for error in (first["error"], second["error"]):
        if error and error.startswith("Impure"):
            yield "an act", error, "refused"
            return
    if first["error"] != second["error"]:
        yield "the error", str(first["error"]), str(second["error"])
        return
    one, other = first["rows"], second["rows"]
    if len(one) != len(other):
        yield "the number of rows", str(len(one)), str(len(other))
    elif one != other and sorted(map(repr, one)) == sorted(map(repr, other)):
        index = next(index for index, row in enumerate(one) if row != other[index])
        yield "the order of the rows", _shown(one[index]), _shown(other[index])
    else:
        for (model, values), (other_model, other_values) in zip(one, other, strict=True):
            if model != other_model:
                yield "the model", model, other_model
                return
            for field, value in values.items():
                if value != other_values[field]:
                    yield f"{model}.{field}", value, other_values[field]


def _shown(row: tuple[str, dict[str, str]]) -> str:
    model, values = row
    return f"{model}({', '.join(f'{name}={value}' for name, value in values.items())})"[:300]
