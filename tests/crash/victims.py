"""Victims, from outside: start a job in the fork server, hear what it tells, kill it."""

import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = "tests.crash.settings"
PATIENCE_S = 120.0
"""A job that says nothing for so long hangs."""


class Hangs(Exception):
    """A job neither told anything nor ended."""


class Victim:
    """One job of the fork server."""

    def __init__(self, forks: "Forks", number: int) -> None:
        self._forks = forks
        self.number = number
        self.heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.ended: int | None = None
        """Its exit code; -9 when it was killed."""

    def listen(self, timeout: float = PATIENCE_S) -> Iterator[dict[str, Any]]:
        """What it tells, until it ends. Raises `queue.Empty` when it is silent for `timeout` s."""
        while self.ended is None:
            said = self.heard.get(timeout=timeout)
            if "ended" in said:
                self.ended = said["ended"]
            else:
                yield said["told"]

    def kill(self) -> None:
        self._forks.order({"kill": self.number})


class Forks:
    """The fork server, as a process of its own."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._numbers = itertools.count(1)
        self._victims: dict[int, Victim] = {}

    def __enter__(self) -> Self:
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "ROOTCELLAR_TEST_HOME": str(self._scratch),
            "LOG_LEVEL": "CRITICAL",
        }
        environment.pop("DATABASE_URL", None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.forks"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._hearing.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=PATIENCE_S)
        self._hearing.join(timeout=PATIENCE_S)
        self._process.stdout.close()

    def start(
        self, work: str, home: Path, *, aim: dict[str, Any] | None = None, **arguments: Any
    ) -> Victim:
        """Begin a job: a function `module:name` of `tests.crash`."""
        victim = Victim(self, next(self._numbers))
        self._victims[victim.number] = victim
        self.order(
            {
                "job": victim.number,
                "home": str(home),
                "work": f"tests.crash.{work}",
                "aim": aim,
                "arguments": arguments,
            }
        )
        return victim

    def finish(
        self, work: str, home: Path, *, aim: dict[str, Any] | None = None, **arguments: Any
    ) -> list[dict[str, Any]]:
        """Do a job to its end, and return what it told. Raises `RuntimeError` when it fails."""
        victim = self.start(work, home, aim=aim, **arguments)
        told = hear_all(victim)
        if victim.ended != 0:
            said = told[-1].get("raised", told[-1]) if told else "it told nothing"
            raise RuntimeError(f"{work} ended with {victim.ended}: {said}")
        return told

    def order(self, order: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()

    def _hear(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            said = json.loads(line)
            self._victims[said["job"]].heard.put(said)
            if "ended" in said:
                del self._victims[said["job"]]


def hear_all(victim: Victim) -> list[dict[str, Any]]:
    """What a victim tells until it ends. Raises `Hangs`."""
    try:
        return list(victim.listen())
    except queue.Empty:
        raise Hangs(f"Job {victim.number} was silent for {PATIENCE_S:g} s.") from None
