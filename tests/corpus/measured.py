"""Run a command of the program in a process of its own, and measure what it needed.

    python -m tests.corpus.measured replay calfire

prints what the command prints, and on the last line its seconds and megabytes as JSON.
"""

import contextlib
import json
import os
import resource
import shlex
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
THEN = ";"
"""Between two commands that run in one process, one after the other."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command that ended well."""

    output: str
    seconds: float
    megabytes: float
    """The most that it and its child processes held at one time."""


@dataclass(frozen=True, slots=True)
class Program:
    """The program on a home folder of its own."""

    home: Path

    def run(self, *command: str) -> Step:
        """Run `manage.py COMMAND…`, several with `THEN` between them."""
        output, _, measured = self.execute("tests.corpus.measured", *command).rpartition("\n")
        return Step(output, **json.loads(measured))

    def execute(self, module: str, *arguments: str, **environment: str) -> str:
        """Run a module as a process; return what it prints, or fail with it."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "etl.settings",
                "ROOTCELLAR_APPS": "tests.corpus.calfire,tests.corpus.pge",
                "ROOTCELLAR_HOME": str(self.home),
            }
            | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{module} {arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout.rstrip("\n")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the program's database answers."""
        with contextlib.closing(sqlite3.connect(self.home / "db.sqlite3")) as database:
            return database.execute(query).fetchall()


def main() -> None:
    from django.core.management import execute_from_command_line

    started = time.monotonic()
    with _Watch() as watch:
        for command in shlex.join(sys.argv[1:]).split(shlex.quote(THEN)):
            try:
                execute_from_command_line(["manage.py", *shlex.split(command)])
            except SystemExit as error:
                # So `replay --diff` ends where something would change.
                if error.code != 1 or "--diff" not in command:
                    raise
    seconds = time.monotonic() - started
    measured = {"seconds": round(seconds, 1), "megabytes": round(watch.peak / 2**20)}
    sys.stdout.write(f"{json.dumps(measured)}\n")


class _Watch(threading.Thread):
    """Adds up, again and again, what this process and its children hold in memory.

    What they share is counted once for each, and the system's own record of the largest single
    process is never undercut: the peak is rather too high than too low.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._done = threading.Event()
        self.peak = 0

    def run(self) -> None:
        while not self._done.wait(0.02):
            self.peak = max(self.peak, _resident(os.getpid()))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self.join()
        # Not RUSAGE_SELF: that begins with the size of the process that started this one.
        largest_child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        self.peak = max(self.peak, _high_water_mark(), largest_child)


def _high_water_mark() -> int:
    """Bytes in memory that this process held at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _resident(pid: int) -> int:
    """Bytes in memory of a process and its children; 0 for one that has just ended."""
    try:
        process = Path(f"/proc/{pid}")
        pages = int((process / "statm").read_text().split()[1])
        children = [
            int(child)
            for task in (process / "task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * resource.getpagesize() + sum(_resident(child) for child in children)


if __name__ == "__main__":
    main()
