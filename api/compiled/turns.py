"""Turns: answers read from SQLite one after the other, as long as each is quick.

SQLite's driver lets go of the interpreter's lock at every row and takes it again. Threads that
read side by side fight over it: four of them compute more than twice as long for the same
answers as one does. So a short read waits for its turn; one that takes long stops nobody.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

QUICK_SECONDS = 0.1
"""Whoever has had the turn for longer is no longer waited for."""


class Turns:
    """Who may read now. One instance serves a process."""

    def __init__(self, quick_seconds: float = QUICK_SECONDS, longest_wait: float = 1.0) -> None:
        self._quick_seconds = quick_seconds
        self._longest_wait = longest_wait
        self._lock = threading.Lock()
        self._since = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until the others are done, or until it is no use to wait."""
        is_mine = self._wait()
        if is_mine:
            self._since = time.monotonic()
        try:
            yield
        finally:
            if is_mine:
                self._lock.release()

    def _wait(self) -> bool:
        end = time.monotonic() + self._longest_wait
        if self._lock.acquire(blocking=False):
            return True
        while True:
            now = time.monotonic()
            # Another may have got the turn meanwhile: then it is that one's time that counts.
            seconds = min(self._since + self._quick_seconds, end) - now
            if seconds <= 0:
                return False
            if self._lock.acquire(timeout=seconds):
                return True
