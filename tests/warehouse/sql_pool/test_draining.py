"""A pipe that is read to its end while somebody else is about to stop reading it."""

import asyncio

import pytest

from warehouse.sql_pool.draining import drained


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_another_reader_does_not_take_the_end_along(is_cancelled):
    async def read_by_two():
        reader = asyncio.StreamReader()
        other = asyncio.ensure_future(reader.readexactly(10))
        await asyncio.sleep(0)
        draining = asyncio.ensure_future(drained(reader))
        # Both are woken; the other one, second, forgets whom the reader has to wake next.
        reader.feed_data(b"x")
        await asyncio.sleep(0.01)
        if is_cancelled:
            other.cancel()
        reader.feed_eof()
        await asyncio.wait_for(draining, 5)
        await asyncio.gather(other, return_exceptions=True)
        assert reader.at_eof()

    asyncio.run(read_by_two())
