"""Work that outlives a cancellation, and a cancellation that outlives the work's failure."""

import asyncio

import pytest

from ingest.uncancelled import uncancelled


async def finish(done, error=None):
    await asyncio.sleep(0.05)
    done.append(True)
    if error:
        raise error


@pytest.mark.parametrize("error", [None, RuntimeError("the work failed")])
async def test_cancelled_task_ends_as_cancelled_once_its_work_is_done(error):
    done: list[bool] = []
    task = asyncio.create_task(uncancelled(finish(done, error)))
    await asyncio.sleep(0.01)

    task.cancel()
    outcomes = await asyncio.gather(task, return_exceptions=True)

    assert done == [True]
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert task.cancelled()


async def test_failure_is_raised_where_nobody_cancelled():
    with pytest.raises(RuntimeError, match="the work failed"):
        await uncancelled(finish([], RuntimeError("the work failed")))
