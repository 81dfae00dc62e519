"""A site of linked pages on the loopback: a tree, in which each page links to everywhere near."""

import asyncio
from collections import Counter
from typing import Self


class Site:
    """Serves pages 0 to `size`-1; page N links to its children, its parent and to itself."""

    def __init__(self, size: int, fan_out: int = 5, delay: float = 0.0) -> None:
        self.size, self.fan_out, self.delay = size, fan_out, delay
        self.asked: Counter[int] = Counter()
        self.at_once: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self.overlaps = 0
        """Times a page was asked for while it was being asked for."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def url(self, page: int = 0) -> str:
        return f"http://127.0.0.1:{self.port}/{page}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                page = int(head.split(b" ", 2)[1].lstrip(b"/"))
                self.asked[page] += 1
                self.at_once[page] += 1
                self.overlaps += self.at_once[page] > 1
                if self.delay:
                    await asyncio.sleep(self.delay)
                body = self.body(page)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(body), body)
                )
                await writer.drain()
                self.at_once[page] -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.close()

    def body(self, page: int) -> bytes:
        first = page * self.fan_out + 1
        linked = [*range(first, min(first + self.fan_out, self.size)), page, page // self.fan_out]
        links = "".join(f'<a href="/{each}#top">{each}</a>' for each in linked)
        return f"<html><title>{page}</title>{links}</html>".encode()
