"""A limit on the time that a transform may take over one payload: `TRANSFORM_TIME_LIMIT`.

One hostile page is not to stall a replay: its payload goes to quarantine as `Overlong`, its
neighbours go on. What is counted is the processor's time of the transform's own thread, so that
a busy machine makes nothing late. In the main thread of a process, as in every worker of a pool,
a transform that is beyond the limit is interrupted; in another thread, or while it waits for C
code that looks at no signal, it is judged when it ends.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from .errors import Overlong

_LOOKS = 10
"""How often, within the limit, a transform under way is looked at."""
_SHORTEST_LOOK_S = 0.02


class _Watch(threading.local):
    began_at: float | None = None
    """The thread's processor time when the transform began; None while none runs."""
    limit_s = 0.0


_watch = _Watch()


@contextmanager
def watching() -> Iterator[None]:
    """What `limited` needs in order to interrupt, for as many calls as there are within."""
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


@contextmanager
def limited() -> Iterator[None]:
    """Raise `Overlong` where the code within takes longer than the limit.

    It is raised at the end, too, where that code swallowed it or could not be interrupted.
    """
    _watch.began_at = time.thread_time()
    try:
        yield
    finally:
        began_at, _watch.began_at = _watch.began_at, None
    if _is_over(began_at):
        raise _error()


def _look(number: int, frame: Any) -> None:
    if _is_over(_watch.began_at):
        raise _error()


def _is_over(began_at: float | None) -> bool:
    return (
        began_at is not None
        and _watch.limit_s > 0
        and time.thread_time() - began_at > _watch.limit_s
    )


def _error() -> Overlong:
    return Overlong(
        f"it takes more than {_watch.limit_s:g} s over this payload (TRANSFORM_TIME_LIMIT). "
        "Make the transform cheaper, or raise the limit and run `manage.py quarantine retry`."
    )
