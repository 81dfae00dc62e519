"""A limit on the time that a transform may take over one payload: `TRANSFORM_TIME_LIMIT`.

One hostile page is not to stall a replay: its payload goes to quarantine as `Overlong`, its
neighbours go on. What is counted is the processor's time of the transform's own thread, so that
a busy machine makes nothing late. In the main thread of a process, as in every worker of a pool,
a transform that is beyond the limit is interrupted; in another thread, or while it waits for C
code that looks at no signal, it is judged when it ends. A query computes in threads of its own: of
that the process's time is counted, and whoever runs it says how it is interrupted.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from .errors import Overlong

_LOOKS = 10
"""How often, within the limit, a transform under way is looked at."""
_SHORTEST_LOOK_S = 0.02


_TRUSTED_S = 0.02
"""For so long, by the clock, the thread is taken to have computed all the time: asking how long it
has costs more than many a payload."""


class _Watch(threading.local):
    began_at: float | None = None
    """When the transform began, by the clock; None while none runs."""
    began_cpu = 0.0
    """The thread's processor time then, or a little more: never less."""
    asked_at = -1.0
    asked_cpu = 0.0
    """The thread's processor time as it was asked for last, and when."""
    limit_s = 0.0


_watch = _Watch()


@contextmanager
def watching() -> Iterator[None]:
    """Interrupt what is beyond the limit between `begin` and `end`, as often as these come."""
    _watch.limit_s = limit_s = settings.TRANSFORM_TIME_LIMIT
    is_free = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGVTALRM) is signal.SIG_DFL
        and signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    )
    if not limit_s or not is_free:
        yield
        return
    every = max(_SHORTEST_LOOK_S, limit_s / _LOOKS)
    signal.signal(signal.SIGVTALRM, _look)
    signal.setitimer(signal.ITIMER_VIRTUAL, every, every)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)


def begin() -> None:
    """Begin to count: from now on, within `watching`, `Overlong` is raised beyond the limit."""
    now = time.monotonic()
    if now - _watch.asked_at > _TRUSTED_S:
        _watch.asked_at, _watch.asked_cpu = now, time.thread_time()
    _watch.began_cpu = _watch.asked_cpu + (now - _watch.asked_at)
    _watch.began_at = now


def end() -> bool:
    """Count no more; whether it took longer than the limit, if what was interrupted swallowed that,
    or could not be interrupted."""
    began_at, _watch.began_at = _watch.began_at, None
    return _is_over(began_at)


@contextmanager
def interrupting(interrupt: Callable[[], None]) -> Iterator[None]:
    """Call `interrupt` when the process computes in here beyond the limit; then raise `Overlong`
    in place of the error by which that ends what is within."""
    limit_s = _watch.limit_s
    if not limit_s:
        yield
        return
    ended, is_over = threading.Event(), threading.Event()
    began_at, began_cpu = time.monotonic(), time.process_time()

    def look() -> None:
        while not ended.wait(max(_SHORTEST_LOOK_S, limit_s / _LOOKS)):
            # A busy machine makes nothing late; several threads are not late by their sum.
            taken_s = min(time.monotonic() - began_at, time.process_time() - began_cpu)
            if taken_s > limit_s:
                is_over.set()
                # Each time anew: what has not begun yet cannot be interrupted.
                interrupt()

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    except Exception:
        if is_over.is_set():
            raise overlong() from None
        raise
    finally:
        ended.set()
        watcher.join()


def _look(number: int, frame: Any) -> None:
    if _is_over(_watch.began_at):
        raise overlong()


def _is_over(began_at: float | None) -> bool:
    # No thread computes for longer than the clock says.
    limit_s = _watch.limit_s
    if began_at is None or not limit_s or time.monotonic() - began_at <= limit_s:
        return False
    return time.thread_time() - _watch.began_cpu > limit_s


def overlong() -> Overlong:
    """What is raised for a transform beyond the limit."""
    return Overlong(
        f"it takes more than {_watch.limit_s:g} s over this payload (TRANSFORM_TIME_LIMIT). "
        "Make the transform cheaper, or raise the limit and run `manage.py quarantine retry`."
    )
