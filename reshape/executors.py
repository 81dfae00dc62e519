"""Where tasks are executed: in this process, in a pool of processes, or on a cluster.

All three are `concurrent.futures`. Small work is done here: a pool takes a second or two to start,
so it is started where that will pay, judged by the tasks' size at first and then by how long they
take. While it starts the work goes on here. As many workers as there are cores, no more than memory
allows; a task is begun only while there is memory for it.
"""

import logging
import multiprocessing
import pickle
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, Generic, Protocol, TypeVar

from django.conf import settings

from . import worker
from .errors import MainUnguarded, ReplayStopped, WorkerKilled
from .machine import available_cores, available_memory

logger = logging.getLogger(__name__)

MEASURED_S = 0.5
"""Seconds of work done here before it is judged how long the rest will take."""
EXPECTED_RATE = 60e6
"""Weight that is done in a second, until it is measured; few transforms are faster."""
POOL_START_S = 1.5
"""Seconds that a pool must save at least: it takes about as long to start."""
END_S = 5.0
"""Seconds that the workers of a pool have to end when it is stopped."""
WATCH_S = 5.0
"""How often a cluster that ends no task is looked at."""
HELPS = True
"""Whether tasks are done here while a pool starts."""
WORKER_BYTES = 256 * 1024 * 1024
"""What a worker holds beside the bodies of its task."""
_GUARD_IT = 'Put what the script does beneath `if __name__ == "__main__":`.'
_STOPPED = "Parsing was stopped. What was parsed is kept; the next replay goes on from there."


class Task(Protocol):
    """What an executor needs to know of a task; `str()` of it names it to people."""

    @property
    def weight(self) -> int:
        """Bytes to read: how long it takes, compared with others."""

    @property
    def memory_bytes(self) -> int:
        """What it may hold in memory at a time."""

    @property
    def fills_cores(self) -> bool:
        """Whether it keeps every core busy by itself, so that a pool gains nothing."""


T = TypeVar("T", bound=Task)
R = TypeVar("R")


def execute(
    tasks: Sequence[T], here: Callable[[T], R], in_worker: Callable[[T], R]
) -> Iterator[tuple[T, R]]:
    """Do every task and give each with its result, in the order they end.

    `here` does one in this process, `in_worker` (a function of a module) in another. Raises
    `WorkerKilled` after all other tasks are done, `ReplayStopped`, `ClusterUnusable`,
    `MainUnguarded`.
    """
    refuse_within_import()
    waiting = deque(tasks)
    can_travel = len(tasks) > 1 and _is_picklable(tasks[0])
    if settings.REPLAY_CLUSTER and can_travel:
        from .cluster import connected

        with connected(settings.REPLAY_CLUSTER, tasks) as (cluster, places, submit, watch):
            spread = Spread(cluster, waiting, in_worker, submit=submit, watch=watch)
            yield from spread.run(ahead=2 * places)
        if spread.suspects:
            raise _killed(spread.suspects)
        return
    is_spread = can_travel and not all(task.fills_cores for task in tasks)
    workers = _worker_count(len(tasks)) if is_spread else 1
    taken_s = done = 0.0
    left = sum(task.weight for task in tasks)
    while waiting:
        if len(waiting) > 1 and workers > 1:
            is_measured = done and taken_s >= MEASURED_S
            left_s = left * taken_s / done if is_measured else left / EXPECTED_RATE
            if left_s * (1 - 1 / workers) > POOL_START_S:
                yield from _in_pool(waiting, here, in_worker, workers)
                return
        task = waiting.popleft()
        started = time.monotonic()
        result = here(task)
        taken_s += time.monotonic() - started
        done += task.weight
        left -= task.weight
        yield task, result


def refuse_within_import() -> None:
    """Raise `MainUnguarded` where this process of a pool is only importing its caller's script.

    What the script does at its top level would be done here as well, and wait for its caller, who
    waits for this process.
    """
    # What `multiprocessing` itself asks before it starts a process.
    process = multiprocessing.current_process()
    if getattr(process, "_inheriting", False):
        script = getattr(sys.modules.get("__mp_main__"), "__file__", None) or sys.argv[0]
        raise MainUnguarded(
            f"{script} is imported anew by a process of the pool, and replays there too. "
            f"{_GUARD_IT}"
        )


def submit_pickled(executor: Executor, work: Callable[[T], R], task: T) -> "Future[R]":
    """Hand a task to another process, which sets Django up before it unpickles it."""
    return executor.submit(worker.do, pickle.dumps((work, task)))


class Spread(Generic[T, R]):
    """Tasks spread over an executor's workers, a bounded number of them at a time."""

    def __init__(
        self,
        executor: Executor,
        waiting: "deque[T]",
        work: Callable[[T], R],
        *,
        submit: "Callable[[Executor, Callable[[T], R], T], Future[R]]" = submit_pickled,
        watch: Callable[[], None] | None = None,
    ) -> None:
        """Tasks are taken out of `waiting` as they are begun. `watch` is called while nothing ends,
        and raises where nothing will."""
        self.suspects: list[T] = []
        """Those under way when a worker died: one of them may have killed it."""
        self._executor = executor
        self._waiting = waiting
        self._work = work
        self._submit = submit
        self._watch = watch

    def run(
        self,
        *,
        ahead: int,
        memory_bytes: int | None = None,
        meanwhile: Callable[[T], R] | None = None,
        is_begun: Callable[[], bool] = bool,
    ) -> Iterator[tuple[T, R]]:
        """Give each task with its result. It ends early, with `suspects`, when the pool breaks.

        At most `ahead` are submitted at a time, and as many as fit in `memory_bytes`. Until
        `is_begun`, `meanwhile` does others here.
        """
        running: dict[Future[R], T] = {}
        is_broken = False
        while running or (self._waiting and not is_broken):
            while self._waiting and not is_broken and len(running) < ahead:
                if running and not self._fits(running.values(), memory_bytes):
                    break
                task = self._waiting.popleft()
                try:
                    running[self._submit(self._executor, self._work, task)] = task
                except BrokenProcessPool:
                    self._waiting.appendleft(task)
                    is_broken = True
            helps = self._waiting and not is_begun() and self._fits(running.values(), memory_bytes)
            if meanwhile and helps:
                task = self._waiting.popleft()
                yield task, meanwhile(task)
                continue
            patience_s = WATCH_S if self._watch else None
            ended = wait(running, timeout=patience_s, return_when=FIRST_COMPLETED).done
            if self._watch and not ended:
                self._watch()
            for future in ended:
                task = running.pop(future)
                try:
                    result = future.result()
                except worker.Stopped:
                    raise ReplayStopped(_STOPPED) from None
                except BrokenProcessPool:
                    is_broken = True
                    self.suspects.append(task)
                except Exception as error:
                    if not _tells_of_a_death(error):
                        raise
                    self.suspects.append(task)
                else:
                    yield task, result

    def _fits(self, running: Iterable[T], memory_bytes: int | None) -> bool:
        """Whether there is memory for the next task beside those under way."""
        if memory_bytes is None:
            return True
        return sum(task.memory_bytes for task in (*running, self._waiting[0])) <= memory_bytes


def _in_pool(
    waiting: "deque[T]", here: Callable[[T], R], work: Callable[[T], R], workers: int
) -> Iterator[tuple[T, R]]:
    """Do the tasks in processes. After a death those under way are done again, each alone."""
    killers: list[T] = []
    has_done, is_new = False, True
    while waiting:
        with _pool(min(workers, len(waiting))) as (pool, processes):
            begun = [pool.submit(worker.is_ready) for _ in range(min(workers, len(waiting)))]
            spread = Spread(pool, waiting, work)
            spare = max(0, available_memory() - workers * WORKER_BYTES)
            for done in spread.run(
                ahead=2 * workers,
                memory_bytes=spare,
                meanwhile=here if HELPS and is_new else None,
                is_begun=partial(_any_done, begun),
            ):
                has_done = True
                yield done
            is_undone = bool(waiting or spread.suspects)
            if is_new and is_undone and not any(map(_has_begun, begun)):
                _refuse_unguarded(processes)
                logger.warning("no process of the pool could begin, everything is done here")
                waiting.extend(spread.suspects)
                break
            is_new = False
        suspects = deque(spread.suspects)
        if suspects:
            workers = max(1, workers // 2)
            logger.warning(
                "a worker died, tasks are done again tasks=%d workers=%d", len(suspects), workers
            )
        died: list[T] = []
        while suspects:
            with _pool(1) as (pool, _):
                alone = Spread(pool, suspects, work)
                for done in alone.run(ahead=1):
                    has_done = True
                    yield done
            # It may only have waited when the first worker died: once alone is not yet twice.
            killers += [task for task in alone.suspects if task in died]
            suspects.extend(task for task in alone.suspects if task not in died)
            died += alone.suspects
        if killers and not has_done:
            break  # no worker can do anything here
    if killers:
        raise _killed(killers)
    while waiting:
        task = waiting.popleft()
        yield task, here(task)


def _any_done(futures: "Sequence[Future[bool]]") -> bool:
    return any(future.done() for future in futures)


def _has_begun(ready: "Future[bool]") -> bool:
    return ready.done() and not ready.cancelled() and ready.exception() is None


def _refuse_unguarded(processes: Sequence[SpawnProcess]) -> None:
    """Raise `MainUnguarded` where that is why none of the processes could begin."""
    for process in processes:
        process.join(5)
    if any(each.exitcode == 1 for each in processes):
        raise MainUnguarded(
            "No process of the pool could begin; what each said is above. Where that is a "
            f"MainUnguarded: {_GUARD_IT}"
        )


@contextmanager
def _pool(workers: int) -> Iterator[tuple[ProcessPoolExecutor, list[SpawnProcess]]]:
    """A pool, and its processes, which are gone when it is left, however it is left."""
    context = _Context()
    # Workers are spawned: forking a process that has threads or open connections is unsafe.
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=worker.begin)
    is_done = False
    try:
        yield pool, context.started
        is_done = True
    finally:
        if not is_done:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in context.started:
                # Its task under way ends at once, and removes what it has half written.
                process.terminate()
            until = time.monotonic() + END_S
            for process in context.started:
                # What a library keeps from hearing of it is not waited for.
                process.join(max(0.0, until - time.monotonic()))
                process.kill()
        pool.shutdown(cancel_futures=True)


class _Context(SpawnContext):
    """Spawns processes, and remembers them: a pool names its own to nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *arguments: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]
        process = SpawnProcess(*arguments, **options)
        self.started.append(process)
        return process


def _worker_count(tasks: int) -> int:
    """As many as there are cores, or as asked for; fewer where memory is short."""
    workers = settings.PARSE_WORKERS or available_cores()
    if workers > 1 and multiprocessing.current_process().daemon:
        return 1  # a daemonic process may have no children
    return max(1, min(workers, tasks, available_memory() // (2 * WORKER_BYTES)))


def _tells_of_a_death(error: Exception) -> bool:
    """Whether a worker ran out of memory, or a cluster gave a task up after its workers died."""
    return isinstance(error, MemoryError) or type(error).__name__ == "KilledWorker"


def _killed(tasks: Sequence[T]) -> WorkerKilled:
    listed = "; ".join(str(task) for task in tasks)
    return WorkerKilled(
        f"The worker died each time over: {listed}. It ran out of memory, or a library crashed. "
        "Everything else is parsed and kept. Give it more memory, or run with PARSE_WORKERS=1 to "
        "see the crash; `manage.py archive show` shows the payloads."
    )


def _is_picklable(task: object) -> bool:
    try:
        pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True
