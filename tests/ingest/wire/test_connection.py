"""How long a connection waits, request after request."""

import asyncio
from contextlib import asynccontextmanager, suppress

from ingest.wire.connection import Connection
from ingest.wire.errors import TimedOut

REQUEST = b"GET / HTTP/1.1\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def connected(*answers: float | None):
    """A connection to a server that answers each request after so many seconds, or never."""

    is_over = asyncio.Event()

    async def serve(reader, writer):
        for pause in answers:
            await reader.readuntil(b"\r\n\r\n")
            if pause is not None:
                await asyncio.sleep(pause)
                writer.write(ANSWER)
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        is_over.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, *server.sockets[0].getsockname())
    try:
        yield connection
    finally:
        connection.close()
        await is_over.wait()
        server.close()


async def answered(connection, silence):
    connection.ask(REQUEST, "GET", timeout=silence, deadline=60)
    await connection.progress()
    if connection.failure is None:
        assert connection.take() == b"{}"
    return connection.failure


async def test_a_shorter_limit_counts_after_a_longer_one():
    async with connected(0, None) as connection:
        assert await answered(connection, 60) is None
        assert connection.release()

        async with asyncio.timeout(10):
            assert isinstance(await answered(connection, 0.1), TimedOut)


async def test_an_earlier_requests_shorter_limit_does_not_end_a_later_one():
    async with connected(0, 1.5) as connection:
        assert await answered(connection, 1) is None
        assert connection.release()

        assert await answered(connection, 10) is None


async def test_the_same_limit_counts_from_each_request():
    async with connected(0.5, 0.5, 0.5, None) as connection:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            assert await answered(connection, 1.2) is None
            assert connection.release()

        begun = loop.time()
        assert isinstance(await answered(connection, 1.2), TimedOut)
        assert 1.19 < loop.time() - begun < 5
