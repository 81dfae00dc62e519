"""What runs in a worker, be it a process of the pool or one of a cluster.

Nothing here needs Django when it is imported: a worker imports this module first, and it sets
Django up before it unpickles anything that does.
"""

import atexit
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from raw_store.cycles import look_rarely

_setting_up = threading.Lock()
_seen: set[str] = set()
"""The probes that this process found."""


class Stopped(BaseException):
    """This worker was asked to stop; the task under way removes what it has half written."""


class NotShared(Exception):
    """A worker does not see the folder of record files."""


class _Duty:
    """What a worker of the pool is doing, for its signal handler."""

    is_busy = False
    is_stopping = False
    idle = threading.Event()


def set_up(*, parses_only: bool = False) -> None:
    """Set Django up, once in a process; for parsing alone, without the rollups."""
    import django
    from django.apps import apps

    from raw_store.role import ROLE

    with _setting_up:
        if not apps.ready:
            ROLE.parses_only = parses_only
            django.setup()


def begin() -> None:
    """What a process of the pool does first."""
    # Ctrl-C reaches every process of a terminal; the caller alone decides what follows.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    # Its files are closed by then; to take a whole interpreter down keeps the caller waiting.
    atexit.register(os._exit, 0)
    look_rarely()
    _Duty.idle.set()
    threading.Thread(target=_outlive_nobody, daemon=True).start()
    set_up(parses_only=True)


def is_ready() -> bool:
    """Whether this process has begun: it answers."""
    return True


def do(pickled: bytes, probe: str | None = None) -> Any:
    """Unpickle a function and its argument, and call it.

    `probe` is a file that its caller put where record files go: a worker that does not see it
    would write them where nobody looks. Raises `NotShared`.
    """
    set_up()
    if probe and probe not in _seen:
        if not Path(probe).exists():
            raise NotShared(f"{Path(probe).parent} is not the caller's folder of record files")
        _seen.add(probe)
    work: Callable[[Any], Any]
    work, task = pickle.loads(pickled)
    if _Duty.is_stopping:
        raise Stopped
    _Duty.is_busy = True
    _Duty.idle.clear()
    try:
        return work(task)
    finally:
        _Duty.is_busy = False
        _Duty.idle.set()


def look_round(probe: str, archive_url: str, path: str) -> list[str]:
    """What this worker lacks: it must see the file `probe`, and the archive's segment `path`."""
    problems = []
    try:
        set_up()
        from raw_store.errors import ArchiveError
        from raw_store.segments import read_info
    except Exception as error:
        return [f"it cannot set up the project: {type(error).__name__}: {error}"]
    if not Path(probe).exists():
        problems.append(f"it does not see the folder of record files, {Path(probe).parent}")
    try:
        read_info(archive_url, path)
    except ArchiveError as error:
        problems.append(f"it cannot read the archive at {archive_url}: {error}")
    return problems


def _stop(number: int, frame: Any) -> None:
    _Duty.is_stopping = True
    if _Duty.is_busy:
        raise Stopped
    os._exit(0)


def _outlive_nobody() -> None:
    """End this process when the one that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    _Duty.idle.wait(10)
    os._exit(1)
