"""Programs that break a promise on purpose: the harness must notice."""

import random
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from . import extract, seal
from .harness import Aim
from .work import Work


class CommitsFirst(seal.Seal):
    """Acknowledges a segment before its file has its name."""

    name = "broken: commits first"
    # Of a seal the first rename is that of its file in another place.
    aims: ClassVar[list[Aim]] = [{"kind": "rename", "number": number} for number in (2, 4)]

    def job(self) -> tuple[str, dict[str, Any]]:
        return "broken:write", {"commits_first": True}


class WritesInPlace(seal.Seal):
    """Writes a segment under its own name instead of renaming a finished file."""

    name = "broken: writes in place"
    aims: ClassVar[list[Aim]] = [{"kind": "unlink", "number": number} for number in (1, 2)]

    def job(self) -> tuple[str, dict[str, Any]]:
        return "broken:write", {"commits_first": False}


class AdvancesEarly(extract.Extract):
    """Commits the watermark when a page arrives instead of when it is sealed."""

    name = "broken: advances early"
    aims: ClassVar[list[Aim]] = [
        {"kind": "rename", "number": 2},
        {"kind": "fsync", "number": 5, "when": "after"},
    ]

    def job(self) -> tuple[str, dict[str, Any]]:
        work, arguments = super().job()
        return work, arguments | {"early": True}


def write(work: Work, commits_first: bool) -> None:
    """Seal some segments in a wrong order."""
    from django.conf import settings

    from raw_store import index
    from raw_store.durability import write_file
    from raw_store.open_segment import OpenSegment, SealLimits

    work.move_in()
    steps = work.watch()
    work.tell(started=True)
    archive, scratch = Path(settings.ARCHIVE_URL), work.home / "scratch"
    open_segment = OpenSegment(str(scratch), seal.FEED, SealLimits())
    dice = random.Random(1)
    for _ in range(seal.SEALS):
        rows = [open_segment.append(each) for each in seal.make_payloads(dice, seal.FEED)]
        closed = open_segment.close()
        info = open_segment.write(closed)
        content = (scratch / info.path).read_bytes()
        if commits_first:
            index.commit(info, closed.latest)
            work.tell(acknowledged=[str(row.fetch_id) for row in rows])
            write_file(str(archive), info.path, partial(_copy, content))
        else:
            (archive / info.path).parent.mkdir(parents=True, exist_ok=True)
            with open(archive / info.path, "wb") as file:
                file.write(content[: len(content) // 2])
                file.flush()
                # A step to aim at.
                (work.home / "half").touch()
                (work.home / "half").unlink()
                file.write(content[len(content) // 2 :])
            index.commit(info, closed.latest)
            work.tell(acknowledged=[str(row.fetch_id) for row in rows])
    work.tell(steps=steps.counts)


def _copy(content: bytes, file: BinaryIO) -> None:
    file.write(content)
