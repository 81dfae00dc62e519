"""Threads of which the one that worked last works next.

Each of them has a connection, and behind that PostgreSQL has a process: what was used a moment ago
is in the processor's caches. A pool that hands work to the thread that has waited longest, as the
standard library's does, makes a small answer a third slower.
"""

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

Work = Callable[[], None]


class Threads:
    """At most `count` threads, started when they are needed."""

    def __init__(self, count: int, name: str, *, at_end: Work) -> None:
        """`at_end` is called in each thread before it ends."""
        self._count, self._name, self._at_end = count, name, at_end
        self._lock = threading.Lock()
        self._waiting: deque[Work] = deque()
        self._idle: list[SimpleQueue[Work | None]] = []
        self._threads: list[threading.Thread] = []
        self._is_over = False

    def submit(self, work: Work) -> None:
        """Have a function called, which must not raise, as soon as a thread is idle."""
        with self._lock:
            if self._is_over:
                raise RuntimeError("the threads have ended")
            if self._idle:
                self._idle.pop().put(work)
            elif len(self._threads) < self._count:
                name = f"{self._name}_{len(self._threads)}"
                thread = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
            else:
                self._waiting.append(work)

    def shutdown(self) -> None:
        """End the threads once all that was submitted is done."""
        with self._lock:
            self._is_over = True
            for each in self._idle:
                each.put(None)
            self._idle.clear()
        for thread in self._threads:
            thread.join()

    def _run(self, work: Work | None) -> None:
        inbox: SimpleQueue[Work | None] = SimpleQueue()
        while work is not None:
            work()
            # Nothing that it holds is kept while there is nothing to do.
            del work
            with self._lock:
                if self._waiting:
                    work = self._waiting.popleft()
                    continue
                if self._is_over:
                    break
                self._idle.append(inbox)
            work = inbox.get()
        self._at_end()
