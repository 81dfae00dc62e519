"""The steps by which a process changes what is on disk; at one of them it dies or is refused.

Watched, below the home folder: making a file or a folder, each write(2) of a Python file, fsync,
rename, unlink; and of the database each statement that writes and each COMMIT. What C++ writes
by itself (Parquet of record files, DuckDB, the inside of a COMMIT) is not watched; there a process
is killed by the clock.

SIGKILL leaves the system's page cache alone, so no kill can show that an fsync is missing. What
can be shown is that each is there, and in its place: `Steps.taken` is the order.
"""

import builtins
import errno
import io
import os
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3.base import DatabaseWrapper, SQLiteCursorWrapper

_WRITING = ("INSERT", "UPDATE", "DELETE", "REPLACE")


@dataclass(frozen=True, kw_only=True)
class Aim:
    """At which step something is to happen: the `number`th of a `kind`, or of all kinds."""

    number: int
    """From 1."""
    kind: str = ""
    when: str = "before"
    """`before` the step, `after` it, or `within`: half of what a write was to write is written."""
    error: str = ""
    """The name of an errno with which the step fails; without one, the process dies. With `after`
    the step is done all the same."""


class Steps:
    """Counts a process's steps from `watch()` on, and acts at the one aimed at."""

    def __init__(self, home: Path, aim: Aim | None) -> None:
        self.taken: list[tuple[str, str]] = []
        """Kind, and path below the home or statement."""
        self.reached = ""
        """The step aimed at, once it was reached."""
        self._home = os.fspath(home)
        self._aim = aim
        self._counted: Counter[str] = Counter()
        self._lock = threading.RLock()

    @property
    def counts(self) -> dict[str, int]:
        return dict(self._counted)

    def take(
        self,
        kind: str,
        target: str,
        act: Callable[[], Any],
        *,
        half: Callable[[], Any] = lambda: None,
        refuse: Callable[[OSError], Any] | None = None,
    ) -> Any:
        """Do a step, or what the aim wants instead."""
        with self._lock:
            self.taken.append((kind, target.removeprefix(self._home).lstrip("/")))
            self._counted[kind] += 1
            aim = self._aim
            number = self._counted[kind] if aim and aim.kind else len(self.taken)
            is_aimed = aim is not None and aim.kind in ("", kind) and aim.number == number
            if is_aimed:
                self.reached = f"{kind} {self.taken[-1][1]}"
        if not is_aimed or aim is None:
            return act()
        if aim.when == "within":
            half()
        elif aim.when == "after":
            act()
        if not aim.error:
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, aim.error)
        error = OSError(number, os.strerror(number), target)
        if refuse is not None:
            return refuse(error)
        raise error

    def disarm(self) -> None:
        """From here on nothing happens at any step."""
        self._aim = None

    def is_ours(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self._home)

    def watch(self) -> None:
        """Begin: from now on this process's steps pass here."""
        self._watch_paths("rename", "rename")
        self._watch_paths("replace", "rename")
        self._watch_paths("unlink", "unlink")
        self._watch_paths("remove", "unlink")
        self._watch_paths("mkdir", "mkdir")
        self._watch_descriptors()
        self._watch_files()
        self._watch_database()

    def _watch_paths(self, name: str, kind: str) -> None:
        real = getattr(os, name)

        def watched(path: Any, *more: Any, **options: Any) -> Any:
            if not self.is_ours(path):
                return real(path, *more, **options)
            return self.take(kind, os.fspath(path), lambda: real(path, *more, **options))

        setattr(os, name, watched)

    def _watch_descriptors(self) -> None:
        real_open, real_fsync = os.open, os.fsync

        def watched_open(path: Any, flags: int, *more: Any, **options: Any) -> int:
            makes = flags & os.O_CREAT or flags & os.O_TMPFILE == os.O_TMPFILE
            if not makes or not self.is_ours(path):
                return real_open(path, flags, *more, **options)
            made: int = self.take(
                "open", os.fspath(path), lambda: real_open(path, flags, *more, **options)
            )
            return made

        def watched_fsync(descriptor: int) -> None:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
            self.take("fsync", target, lambda: real_fsync(descriptor))

        os.open = watched_open
        os.fsync = watched_fsync  # type: ignore[assignment]

    def _watch_files(self) -> None:
        real = io.open
        steps = self

        class Watched(io.FileIO):
            def write(self, data: Any) -> int:
                written: int = steps.take(
                    "write",
                    _name_of(self),
                    lambda: super(Watched, self).write(data),
                    half=lambda: super(Watched, self).write(memoryview(data)[: len(data) // 2]),
                )
                return written

        def watched(
            file: Any,
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            closefd: bool = True,
            opener: Any = None,
        ) -> Any:
            is_writing = "b" in mode and not {"w", "x", "a", "+"}.isdisjoint(mode)
            is_ours = isinstance(file, int) or self.is_ours(file)
            if not is_writing or not is_ours or buffering == 0:
                return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
            raw = Watched(file, mode, closefd, opener)
            size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
            return (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw, size)

        io.open = builtins.open = watched

    def _watch_database(self) -> None:
        wrapper: Any = DatabaseWrapper
        real_commit = wrapper._commit
        steps = self

        def commit(connection: Any) -> None:
            def refuse(error: OSError) -> None:
                with connection.wrap_database_errors:
                    raise sqlite3.OperationalError("disk I/O error") from error

            steps.take("commit", "", lambda: real_commit(connection), refuse=refuse)

        wrapper._commit = commit
        for name in ("execute", "executemany"):
            setattr(SQLiteCursorWrapper, name, self._statement(getattr(SQLiteCursorWrapper, name)))

    def _statement(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def watched(cursor: Any, query: str, *more: Any) -> Any:
            if not query.lstrip().upper().startswith(_WRITING):
                return real(cursor, query, *more)

            def refuse(error: OSError) -> None:
                raise sqlite3.OperationalError("database or disk is full") from error

            return self.take(
                "statement",
                " ".join(query.split()[:3]),
                lambda: real(cursor, query, *more),
                refuse=refuse,
            )

        return watched


def _name_of(file: io.FileIO) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/self/fd/{file.fileno()}")
    return str(file.name)
