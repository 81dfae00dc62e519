"""Operations that are refused a step: no space, a failing disk or COMMIT; then done again."""

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from . import extract, seal
from .work import Work


def attempt(work: Work, operation: str, **arguments: Any) -> None:
    """Do an operation that fails at the step aimed at; then do it again in the same process.

    Tells the error, and what is acknowledged after the second attempt.
    """
    work.move_in()
    operate = OPERATIONS[operation]
    steps = work.watch()
    error = _failure(lambda: operate(**arguments))
    steps.disarm()
    work.tell(
        reached=steps.reached,
        steps=len(steps.taken),
        failed=[kind.__name__ for kind in type(error).__mro__] if error else [],
        message=str(error or "")[:600],
    )
    work.tell(acknowledged=operate(**arguments))


def refuse(work: Work, operation: str, **arguments: Any) -> None:
    """Do an operation while the database itself refuses, or is locked."""
    from django.db import connection

    work.move_in()
    connection.settings_dict["OPTIONS"] = connection.settings_dict["OPTIONS"] | {"timeout": 0.2}
    operate = OPERATIONS[operation]
    error = _failure(lambda: operate(**arguments))
    work.tell(
        failed=[kind.__name__ for kind in type(error).__mro__] if error else [],
        message=str(error or "")[:600],
    )


def _failure(operate: Callable[[], Any]) -> Exception | None:
    try:
        operate()
    except Exception as error:
        return error
    return None


def _seal() -> list[str]:
    from raw_store.archive import Archive

    writer = Archive().sync_writer(seal.FEED)
    dice = random.Random()
    rows = [writer.append(each) for each in seal.make_payloads(dice, seal.FEED)]
    writer.seal()
    return [str(row.fetch_id) for row in rows]


def _compact() -> list[str]:
    from django.conf import settings

    from raw_store.compaction import compact

    done = compact(settings.ARCHIVE_URL, grace=timedelta(0))
    if done.damaged:
        raise done.damaged[0]
    return []


def _replay() -> list[str]:
    from etl.walk import refresh

    refresh("sample")
    return []


def _extract(origin: str) -> list[str]:
    """A run keeps its error; here it is raised again."""
    from ingest import registry

    registry._extractors.pop(extract.FEED, None)
    work = Work(home=Path(), aim=None, tell=lambda **_: None)
    run = asyncio.run(extract.run_pages(work, origin))
    if run.outcome != "complete":
        kinds = [line.split(":")[0] for line in run.traceback.splitlines() if ": " in line]
        raise RunFailed(f"{run.outcome}: {run.error} ({kinds[-1] if kinds else 'no traceback'})")
    return []


class RunFailed(Exception):
    """The run was recorded as failed, as it should be."""


OPERATIONS: dict[str, Callable[..., list[str]]] = {
    "seal": _seal,
    "compact": _compact,
    "replay": _replay,
    "extract": _extract,
}
