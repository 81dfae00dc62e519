"""The fork server: it sets Django up once and forks a process per job, so a kill costs no start-up.

    python -m tests.crash.forks

It never opens a database, an archive or a thread itself: only its children do. It takes one JSON
object per line, `{"job": 1, "home": …, "work": "module:function", "arguments": {…}, "aim": {…}}`
or `{"kill": 1}`, and says `{"job": 1, "ended": 0}`, or -9, of each job. Between, jobs tell
what they did: `{"job": 1, "told": {…}}`.
"""

import gc
import importlib
import json
import os
import select
import signal
import traceback
from pathlib import Path
from typing import Any

import django

from .work import Work

# What a child needs, httpx's lazy imports among it: imported once, for all of them.
_IMPORTED = (
    "anyio._backends._asyncio",
    "dateutil.relativedelta",
    "django.db.backends.sqlite3.base",
    "django.db.models.sql.compiler",
    "etl.walk",
    "httpcore",
    "ingest.runs",
    "raw_store.archive",
    "raw_store.compaction",
    "raw_store.erasing",
    "reshape.replay",
    "tests.crash.steps",
)


class Server:
    """Reads orders, forks and buries."""

    def __init__(self) -> None:
        self._alive: dict[int, int] = {}
        self._jobs: dict[int, int] = {}
        self._unread = b""
        self._dead, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self._dead, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Serve until standard input ends; then end what still runs."""
        while True:
            ready, _, _ = select.select([0, self._dead], [], [])
            if self._dead in ready:
                os.read(self._dead, 4096)
                self._bury()
            if 0 in ready:
                read = os.read(0, 1 << 16)
                if not read:
                    break
                *lines, self._unread = (self._unread + read).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
        for child in self._alive:
            os.kill(child, signal.SIGKILL)

    def _obey(self, order: dict[str, Any]) -> None:
        if "kill" in order:
            # Only one that was not waited for: its number cannot be another's by now.
            if child := self._jobs.get(order["kill"]):
                os.kill(child, signal.SIGKILL)
            return
        child = os.fork()
        if child == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            do(order)
        self._alive[child] = order["job"]
        self._jobs[order["job"]] = child

    def _bury(self) -> None:
        while self._alive:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                return
            job = self._alive.pop(child)
            del self._jobs[job]
            say(job, ended=os.waitstatus_to_exitcode(status))


def do(order: dict[str, Any]) -> None:
    """Do a job in this process, and end it."""
    status = 1
    try:
        module, _, function = order["work"].partition(":")
        work = Work(
            home=Path(order["home"]),
            aim=order.get("aim"),
            tell=lambda **told: say(order["job"], told=told),
        )
        getattr(importlib.import_module(module), function)(work, **order["arguments"])
        status = 0
    except Exception:
        say(order["job"], told={"raised": traceback.format_exc()[-3000:]})
    finally:
        os._exit(status)


def say(job: int, **what: Any) -> None:
    # One write, so that a kill tears no line.
    os.write(1, (json.dumps({"job": job} | what) + "\n").encode())


if __name__ == "__main__":
    django.setup()
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    Server().run()
    # Nothing is left to be put away, and DuckDB complains of modules that end without use.
    os._exit(0)
