"""Threads for short work: few at a time, and the one that worked last works next.

Python computes in one thread at a time, so more of them at once only take turns, each turn a change
of the processor's caches. Work that takes longer waits for something else, and is not waited for.

Each thread has a connection, and behind that PostgreSQL has a process: those used a moment ago are
in the caches. A pool that hands work to the thread that has been idle longest, as the standard
library's does, makes a small answer a third slower.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

logger = logging.getLogger(__name__)

Work = Callable[[], None]

QUICK_S = 0.02
"""What has run for longer is taken to wait, and others begin beside it."""


class _Worker:
    """One thread's side of it."""

    def __init__(self) -> None:
        self.inbox: SimpleQueue[Work | None] = SimpleQueue()


class Threads:
    """At most `count` threads, started when they are needed."""

    def __init__(self, count: int, name: str, *, at_once: int, at_end: Work) -> None:
        """`at_once` is how much work runs at a time, as long as it is quick. `at_end` is called in
        each thread before it ends."""
        self._count, self._name = count, name
        self._at_once, self._at_end = at_once, at_end
        self._lock = threading.Lock()
        self._waiting: deque[Work] = deque()
        self._idle: list[_Worker] = []
        self._begun_at: dict[_Worker, float] = {}
        """When the work was handed out that each does."""
        self._threads: list[threading.Thread] = []
        self._is_over = False
        self._is_stuck = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name=f"{name}_watch", daemon=True)
        self._watcher.start()

    def submit(self, work: Work) -> None:
        """Have a function called in one of the threads. What it raises is logged."""
        with self._lock:
            if self._is_over:
                raise RuntimeError("the threads have ended")
            self._waiting.append(work)
            self._hand_out()
            if self._waiting and not self._is_stuck.is_set():
                self._is_stuck.set()

    def shutdown(self) -> None:
        """End the threads once all that was submitted is done."""
        with self._lock:
            self._is_over = True
            for worker in self._idle:
                worker.inbox.put(None)
            self._idle.clear()
            self._is_stuck.set()
        self._watcher.join()
        for thread in self._threads:
            thread.join()

    def _hand_out(self) -> None:
        """Give what waits to threads, as far as it may begin. The lock is held."""
        while self._waiting and self._may_begin():
            if self._idle:
                worker = self._idle.pop()
            elif len(self._threads) < self._count:
                worker = self._started()
            else:
                return
            self._give(worker)

    def _may_begin(self) -> bool:
        lately = time.monotonic() - QUICK_S
        return sum(at > lately for at in self._begun_at.values()) < self._at_once

    def _give(self, worker: _Worker) -> None:
        self._begun_at[worker] = time.monotonic()
        worker.inbox.put(self._waiting.popleft())

    def _started(self) -> _Worker:
        worker = _Worker()
        name = f"{self._name}_{len(self._threads)}"
        thread = threading.Thread(target=self._run, args=(worker,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return worker

    def _run(self, worker: _Worker) -> None:
        while (work := worker.inbox.get()) is not None:
            try:
                work()
            except Exception:
                # Nobody waits for what it raises, and the thread has more to do.
                logger.exception("what a thread was given failed")
            # Nothing that it holds is kept while there is nothing to do.
            del work
            with self._lock:
                del self._begun_at[worker]
                if self._waiting and (self._is_over or self._may_begin()):
                    self._give(worker)
                elif self._is_over:
                    break
                else:
                    self._idle.append(worker)
        self._at_end()

    def _watch(self) -> None:
        """Let others begin where what runs turns out to take long."""
        while True:
            self._is_stuck.wait()
            time.sleep(QUICK_S / 2)
            with self._lock:
                self._hand_out()
                if self._waiting:
                    continue
                if self._is_over:
                    return
                self._is_stuck.clear()
