"""The server's side: a few processes, who uses them, and their end at the deadline.

    answer = await get_pool().ask(asked)    # raises what is wrong with the statement
    async for piece in answer: ...          # bytes, as they come

Everything here runs in one event loop, and waits for pipes alone: however hostile a statement
is, the loop only relays what its process writes.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import duckdb
import orjson
from django.conf import settings

from warehouse.build import empty_build
from warehouse.errors import (
    PoolBusy,
    QueryFailed,
    QueryTimeout,
    StatementRefused,
    TooManyRows,
    WarehouseError,
)
from warehouse.publish import current_build
from warehouse.reader import readable_folders

from .asked import DATA, END, HEAD, NICENESS, PREFIX, READY, Asked, Place, pack
from .draining import drained

# A statement is interrupted at its deadline, and its process killed so much later.
GRACE_S = 0.5
# So many may wait for each process, so long.
_WAITING_EACH = 8
_WAIT_S = 10.0
_IDLE_S = 300.0
_START_S = 30.0
_ERRORS: dict[str, type[WarehouseError]] = {
    "refused": StatementRefused,
    "timeout": QueryTimeout,
    "too_many_rows": TooManyRows,
    "failed": QueryFailed,
}
_ROOT = Path(__file__).resolve().parent.parent.parent
_INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


class Pool:
    """Processes that answer statements; each is started when it is first needed."""

    def __init__(self, *, size: int, memory_mb: int) -> None:
        self._size = size
        self._memory_mb = memory_mb
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._empty: Path | None = None

    async def ask(self, asked: Asked) -> "Answer":
        """Have a statement answered; returns with the first piece of the answer at hand.

        Raises `StatementRefused`, `QueryFailed`, `QueryTimeout` and `TooManyRows` for what is
        wrong with the statement, `PoolBusy` where no process is free for some seconds.
        """
        lease = await self._lease(asked.seconds)
        try:
            place = Place(
                build=str(current_build() or await asyncio.to_thread(self._empty_build)),
                folders=[str(folder) for folder in readable_folders()],
                spill=str(lease.process.spill),
                memory_mb=self._memory_mb,
            )
            lease.process.ask(pack(asked, place))
            return await Answer.begin(lease)
        except BaseException:
            lease.abandon()
            raise

    def process_ids(self) -> list[int]:
        """The processes there are."""
        return [process.id for process in (*self._idle, *self._busy)]

    async def close(self) -> None:
        """End all processes."""
        ending = [*self._idle, *self._busy]
        self._idle.clear()
        for process in ending:
            process.kill()
        await asyncio.gather(*_burials)
        if self._empty is not None:
            self._empty.unlink(missing_ok=True)
            self._empty = None

    async def _lease(self, seconds: float) -> "_Lease":
        await self._take_turn()
        try:
            process = await self._process()
        except BaseException:
            self._give_turn()
            raise
        self._busy.add(process)
        return _Lease(process, seconds, self._return)

    async def _take_turn(self) -> None:
        if self._taken < self._size:
            self._taken += 1
            return
        if len(self._waiting) >= self._size * _WAITING_EACH:
            raise PoolBusy("Many statements are waiting already. Ask again in some seconds.")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await asyncio.wait_for(turn, _WAIT_S)
        except TimeoutError:
            raise PoolBusy(
                f"No process was free for {_WAIT_S:g} s. Ask again in some seconds."
            ) from None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_turn()
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(turn)

    def _give_turn(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                # The turn goes over to whoever waited longest; the count stays.
                turn.set_result(None)
                return
        self._taken -= 1

    async def _process(self) -> "_Process":
        while self._idle:
            process = self._idle.pop()
            process.keep_awake()
            if process.is_alive():
                return process
        return await _Process.start(self._memory_mb)

    def _return(self, process: "_Process", is_well: bool) -> None:
        self._busy.discard(process)
        if is_well and process.is_alive():
            process.rest(_IDLE_S, self._dismiss)
            self._idle.append(process)
        else:
            process.kill()
        self._give_turn()

    def _dismiss(self, process: "_Process") -> None:
        if process in self._idle:
            self._idle.remove(process)
            process.kill()

    def _empty_build(self) -> Path:
        """Tables without rows, for as long as nothing is published."""
        if self._empty is None:
            path = _spill_root() / f"empty-{os.getpid()}-{secrets.token_hex(4)}.duckdb"
            with duckdb.connect(str(path)) as connection:
                empty_build(connection)
            self._empty = path
        return self._empty


class Answer:
    """An answer on its way: its columns, and its bytes as they come.

    Reading stops with the error that ended it; what came until then is not a whole answer.
    """

    def __init__(self, lease: "_Lease", columns: list[dict[str, str]]) -> None:
        self.columns = columns
        self._lease = lease
        self._pieces = self._read()
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def begin(cls, lease: "_Lease") -> "Answer":
        """Wait for the columns. Raises what is wrong with the statement."""
        kind, body = await lease.frame()
        if kind != HEAD:
            raise lease.failure(body)
        return cls(lease, orjson.loads(body))

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        return self._pieces

    def close(self) -> None:
        """Stop, from any thread; if it is not at its end, its process is killed."""
        # Where the loop has ended, so have its processes.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._lease.abandon)

    async def _read(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                kind, body = await self._lease.frame()
                if kind == DATA:
                    yield body
                elif kind == END:
                    self._lease.end(is_well=not orjson.loads(body)["retires"])
                    return
                else:
                    raise self._lease.failure(body)
        finally:
            self._lease.abandon()


class _Lease:
    """A process for the time of one statement. It is killed when the time is over."""

    def __init__(
        self, process: "_Process", seconds: float, give_back: "Callable[[_Process, bool], None]"
    ) -> None:
        self.process = process
        self._seconds = seconds
        self._give_back = give_back
        self._is_over = False
        self._is_late = False
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds + GRACE_S, self._expire)

    async def frame(self) -> tuple[bytes, bytes]:
        """The next frame of the answer."""
        found = None if self._is_over else await self.process.frame()
        if found is None:
            raise self._lost()
        return found

    def failure(self, body: bytes) -> WarehouseError:
        """The error that a process reports; it is ready for the next statement."""
        told = orjson.loads(body)
        self.end(is_well=not told["retires"])
        return _ERRORS[told["code"]](told["message"])

    def end(self, *, is_well: bool) -> None:
        """Give the process back, once; one that is not at the end of its answer is killed."""
        if not self._is_over:
            self._is_over = True
            self._timer.cancel()
            self._give_back(self.process, is_well)

    def abandon(self) -> None:
        """Nobody wants the rest."""
        self.end(is_well=False)

    def _expire(self) -> None:
        # Also where nobody reads the answer: they must not keep a process for themselves.
        self._is_late = True
        self.end(is_well=False)

    def _lost(self) -> WarehouseError:
        if self._is_late:
            return QueryTimeout(
                f"The statement was stopped after {self._seconds:g} s, which is as long as one "
                "may take, sending its answer included. Ask for less, or for a rollup of it."
            )
        return QueryFailed(
            "The process that ran the statement ended. Usually it needed more memory than it "
            "may have; ask for less at a time."
        )


class _Process:
    """One process, seen from the server."""

    def __init__(self, process: asyncio.subprocess.Process, spill: Path) -> None:
        self.id = process.pid
        self.spill = spill
        self._process = process
        self._nap: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, memory_mb: int) -> "_Process":
        """Start one; returns when it is ready. Raises `QueryFailed` where it does not start."""
        spill = _spill_root() / f"sql-{os.getpid()}-{secrets.token_hex(4)}"
        process = await asyncio.create_subprocess_exec(
            *_at_low_priority(),
            sys.executable,
            "-m",
            "warehouse.sql_pool.child",
            str(memory_mb),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_ROOT,
            # No secret of the server's is in there to be found.
            env={name: os.environ[name] for name in _INHERITED if name in os.environ}
            | {"TZ": "UTC"},
        )
        started = cls(process, spill)
        try:
            ready = await asyncio.wait_for(started.frame(), _START_S)
        except BaseException:
            started.kill()
            raise
        if ready is None or ready[0] != READY:
            started.kill()
            raise QueryFailed("The process for SQL did not start; the server's log says why.")
        return started

    def ask(self, question: bytes) -> None:
        """Send a question. What it answers comes by `frame`."""
        assert self._process.stdin is not None
        self._process.stdin.write(question)

    async def frame(self) -> tuple[bytes, bytes] | None:
        """What it writes next; None when it has ended."""
        assert self._process.stdout is not None
        try:
            prefix = await self._process.stdout.readexactly(PREFIX.size)
            kind, length = PREFIX.unpack(prefix)
            return kind, await self._process.stdout.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def rest(self, seconds: float, dismiss: "Callable[[_Process], None]") -> None:
        """Be dismissed unless it is needed within so many seconds."""
        self._nap = asyncio.get_running_loop().call_later(seconds, dismiss, self)

    def keep_awake(self) -> None:
        """It is needed."""
        if self._nap is not None:
            self._nap.cancel()
            self._nap = None

    def kill(self) -> None:
        """End it at once, with what it spilled."""
        self.keep_awake()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        burial = asyncio.ensure_future(self._bury())
        _burials.add(burial)
        burial.add_done_callback(_burials.discard)

    async def _bury(self) -> None:
        """Let go of its pipes and its files."""
        assert self._process.stdout is not None
        await drained(self._process.stdout)
        await self._process.wait()
        # Gigabytes may lie there: removing them takes its time.
        await asyncio.to_thread(shutil.rmtree, self.spill, ignore_errors=True)


_burials: set[asyncio.Future[None]] = set()
_pools: dict[asyncio.AbstractEventLoop, Pool] = {}


def get_pool() -> Pool:
    """The pool of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        _pools[loop] = Pool(size=settings.SQL_WORKERS, memory_mb=settings.SQL_MEMORY_MB)
    return _pools[loop]


async def close_pool() -> None:
    """End the processes of the running event loop, if there are any."""
    pool = _pools.pop(asyncio.get_running_loop(), None)
    if pool is not None:
        await pool.close()


def _at_low_priority() -> list[str]:
    """What a command begins with, so that even starting up is done at low priority."""
    nice = shutil.which("nice")
    return [nice, "-n", str(NICENESS)] if nice else []


def _spill_root() -> Path:
    root = Path(settings.WAREHOUSE_DIR) / "spill"
    root.mkdir(parents=True, exist_ok=True)
    return root
