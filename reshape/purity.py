"""Transforms are pure: while one runs, what makes rows depend on more than the payload is refused.

Refused are sockets, Django's database, starting processes, and writing to the disk; and starting
threads, for what another thread does is not refused. The payload goes to quarantine as `Impure`.
Python announces such acts to audit hooks (PEP 578), so this costs
nothing until one is attempted. What C code does by itself is not announced, nor are the clock and
randomness: `manage.py check_purity` finds these.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from django.db import connections

from . import time_limit
from .errors import Impure

T = TypeVar("T")

_NETWORK = "used the network"
_PROCESS = "started a process"
_THREAD = "started a thread"
_DISK = "wrote to the disk"
_DATABASE = "used the database"
_REFUSED = {
    "socket.__new__": _NETWORK,
    "socket.connect": _NETWORK,
    "socket.bind": _NETWORK,
    "socket.sendto": _NETWORK,
    "socket.sendmsg": _NETWORK,
    "socket.getaddrinfo": _NETWORK,
    "socket.gethostbyname": _NETWORK,
    "socket.gethostbyaddr": _NETWORK,
    "socket.getnameinfo": _NETWORK,
    "sqlite3.connect": _DATABASE,
    "subprocess.Popen": _PROCESS,
    "os.system": _PROCESS,
    "os.exec": _PROCESS,
    "os.fork": _PROCESS,
    "os.forkpty": _PROCESS,
    "os.posix_spawn": _PROCESS,
    "os.spawn": _PROCESS,
    "pty.spawn": _PROCESS,
    "_thread.start_new_thread": _THREAD,
    "_thread.start_joinable_thread": _THREAD,  # Python 3.13's
    "open": _DISK,
    "os.mkdir": _DISK,
    "os.rename": _DISK,
    "os.remove": _DISK,
    "os.rmdir": _DISK,
    "os.link": _DISK,
    "os.symlink": _DISK,
    "os.truncate": _DISK,
    "os.chmod": _DISK,
    "os.chown": _DISK,
    "os.utime": _DISK,
}
"""Audit event → what it means."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC


class _Guard(threading.local):
    is_up = False
    violation: Impure | None = None


_guard = _Guard()
_installing = threading.Lock()
_installed = False


def run_guarded(call: Callable[..., Iterable[T]], *arguments: Any) -> list[T]:
    """Return what `call(*arguments)` yields, as a list; see `guarded`."""
    with guarded():
        return list(call(*arguments))


class guarded:
    """Refuse, for as long as it lasts, what a transform may not do. Raises `Impure`, `Overlong`.

    They are raised at the end, too, where the code within swallowed the error. Use it within
    `guarding`. No generator: it is entered for each payload.
    """

    def __enter__(self) -> None:
        _guard.is_up = True
        time_limit.begin()

    def __exit__(self, kind: object, *_: object) -> None:
        is_over = time_limit.end()
        _guard.is_up = False
        violation, _guard.violation = _guard.violation, None
        if kind is None and violation is not None:
            raise violation
        if kind is None and is_over:
            raise time_limit.overlong()


@contextmanager
def guarding() -> Iterator[None]:
    """What `run_guarded` needs, for as many calls as there are within."""
    _install()
    with ExitStack() as stack:
        stack.enter_context(time_limit.watching())
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(_refuse_query))
        yield


def _install() -> None:
    """Add the audit hook, once in a process; it cannot be taken out."""
    global _installed
    with _installing:
        if not _installed:
            sys.addaudithook(_on_event)
            # What Python does not announce: processes that are spawned, and before 3.12 threads.
            _watch_starts(BaseProcess, _PROCESS)
            if sys.version_info < (3, 12):
                _watch_starts(threading.Thread, _THREAD)
            _installed = True


def _watch_starts(kind: Any, act: str) -> None:
    """Refuse `start` of a class of threads or processes, too."""
    start = kind.start

    def watched(self: Any) -> None:
        if _guard.is_up:
            _refuse(act, f"{kind.__module__}.{kind.__name__}.start")
        start(self)

    kind.start = watched


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if not _guard.is_up or event not in _REFUSED:
        return
    if event == "open" and not _is_writing(*arguments):
        return
    if _REFUSED[event] is _DISK and _is_of_python(arguments[0]):
        return
    if _REFUSED[event] is _THREAD:
        arguments = ()  # its objects are named by where they lie in memory
    _refuse(_REFUSED[event], f"{event} {_shown(arguments)}".rstrip())


def _refuse_query(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    if _guard.is_up:
        _refuse(_DATABASE, " ".join(sql.split())[:200])
    return execute(sql, params, many, context)


def _refuse(what: str, how: str) -> None:
    error = Impure(
        f"it {what} ({how}). A transform reads its payload and nothing else, or a replay would "
        "give other rows tomorrow: let the extractor fetch what it needs."
    )
    _guard.violation = _guard.violation or error
    raise error


def _is_writing(path: Any, mode: str | None, flags: int) -> bool:
    # A descriptor was announced when it was opened, by its path; compiled code is written so.
    return bool(flags & _WRITING) and path != os.devnull and not isinstance(path, int)


def _is_of_python(path: Any) -> bool:
    """Whether it is the compiled code of a module that is imported while a transform runs."""
    return isinstance(path, str | os.PathLike) and "__pycache__" in os.fspath(path)


def _shown(arguments: tuple[Any, ...]) -> str:
    # A socket names its descriptor, which differs from one time to the next.
    listed = ", ".join(repr(each) for each in arguments if not hasattr(each, "fileno"))
    return listed[:200]
