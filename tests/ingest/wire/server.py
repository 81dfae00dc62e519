"""A hand-made server: it reads a request and sends exactly the bytes it was told to, when and how
it was told to. Each case has a port of its own, hence connections of its own."""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from enum import Enum
from typing import Self, TypeAlias


class Then(Enum):
    """What a server does with the connection, in place of sending bytes."""

    CLOSE = "closes it"
    RESET = "resets it (RST)"
    SILENCE = "sends nothing more"


@dataclass(frozen=True)
class Pause:
    """Seconds without a byte."""

    seconds: float


PORT = b"{port}"
"""Stands for the server's own port."""

Step: TypeAlias = bytes | Pause | Then
Reply: TypeAlias = tuple[Step, ...]
"""To one request. A connection that it leaves open waits for the next request."""

_OVER = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)


@dataclass
class Server:
    """Answers its requests with its replies, one after another; the last one stays."""

    replies: tuple[Reply, ...]
    connections: int = 0
    asked: list[bytes] = field(default_factory=list)
    """The heads of the requests, as they came."""
    port: int = 0
    _server: asyncio.Server | None = None
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Listen no more; what is still being served is dropped."""
        assert self._server is not None
        self._server.close()
        await self.hang_up()

    async def hang_up(self) -> None:
        """Close every connection."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def begin_again(self) -> None:
        """Answer as if nobody had asked yet."""
        self.asked.clear()
        self.connections = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self.connections += 1
        try:
            with contextlib.suppress(*_OVER):
                while await self._answer_one(reader, writer):
                    pass
        finally:
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether the connection is still open."""
        self.asked.append(await _request(reader))
        for step in self.replies[min(len(self.asked), len(self.replies)) - 1]:
            if isinstance(step, bytes):
                writer.write(step.replace(PORT, b"%d" % self.port))
                await writer.drain()
            elif isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            elif step is Then.SILENCE:
                await asyncio.sleep(3600)
            elif step is Then.RESET:
                # What was sent must have been read: a reset throws away what is under way.
                await asyncio.sleep(0.2)
                raw: socket.socket = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return False
            else:
                return False
        return True


async def _request(reader: asyncio.StreamReader) -> bytes:
    first = await reader.readexactly(1)
    if first == b"\x16":
        return b"(TLS)"
    head = first + await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.partition(b":")[2]))
    return head
