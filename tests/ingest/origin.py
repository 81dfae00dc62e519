"""A hand-made HTTP server on the loopback that sends exactly the bytes it is told to."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

Answer = bytes | Callable[["Asked", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Asked:
    """A request as it came over the wire."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass
class Origin:
    """Answers each path with its scripted answers, one after another; the last one stays."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0
    port: int = 0
    _open: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def answer(self, path: str, *answers: Answer) -> str:
        """Script the answers to `path` and return its address."""
        self.answers[path] = list(answers)
        return self.url(path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Cancelled means the test is over.
        over = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*over):
            asked = await _read_request(reader)
            self.asked.append(asked)
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
            try:
                await self._answer(asked, writer)
            finally:
                self._open -= 1
        writer.close()
        with contextlib.suppress(*over):
            await writer.wait_closed()

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        script = self.answers.get(asked.target) or self.answers.get(asked.target.split("?")[0])
        if not script:
            writer.write(response(b"no such page", status="404 Not Found"))
        else:
            answer = script.pop(0) if len(script) > 1 else script[0]
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(asked, writer)
        await writer.drain()


def response(
    body: bytes = b"",
    *headers: str | bytes,
    status: str = "200 OK",
    length: int | None = None,
) -> bytes:
    """The bytes of a response that says Content-Length (true unless `length` says otherwise)."""
    lines = [f"HTTP/1.1 {status}".encode(), b"Connection: close"]
    lines += [line if isinstance(line, bytes) else line.encode("latin-1") for line in headers]
    lines.append(f"Content-Length: {len(body) if length is None else length}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*chunks: bytes, headers: tuple[str, ...] = ()) -> bytes:
    """The bytes of a chunked response, with a chunk extension and a trailer."""
    head = "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers]).encode()
    body = b"".join(b"%x;note=1\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + b"\r\n\r\n" + body + b"0\r\nX-Trailer: yes\r\n\r\n"


def then_reset(sent: bytes) -> Answer:
    """Send `sent`, then reset the connection."""

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(0.05)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return answer


def then_silence(sent: bytes = b"") -> Answer:
    """Send `sent`, then nothing more."""

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(60)

    return answer


async def _read_request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return Asked(method, target, headers, await reader.readexactly(length))
