"""Turns: a few fetches are archived in each round of the event loop, however many came at once.

What becomes of a response takes a fraction of a millisecond, but sixty responses that came together
would hold up for twenty whoever else waits for the loop: the API's answers, timers, other hosts.
"""

import asyncio
from collections import deque
from weakref import WeakKeyDictionary

_A_ROUND = 4


class Turns:
    """Whose turn it is, in the order in which they asked."""

    def __init__(self, a_round: int = _A_ROUND) -> None:
        self._loop = asyncio.get_running_loop()
        self._a_round = self._left = a_round
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_counting = False

    async def take(self) -> None:
        """Wait for a turn; the first ones of a round need not wait."""
        if not self._is_counting:
            self._is_counting = True
            self._loop.call_soon(self._begin_round)
        if self._left and not self._waiting:
            self._left -= 1
            return
        turn = self._loop.create_future()
        self._waiting.append(turn)
        await turn

    def _begin_round(self) -> None:
        self._left = self._a_round
        is_used = False
        while self._left and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
                is_used = True
        self._is_counting = is_used
        if is_used:
            self._loop.call_soon(self._begin_round)


_shared: "WeakKeyDictionary[asyncio.AbstractEventLoop, Turns]" = WeakKeyDictionary()


def shared_turns() -> Turns:
    """The turns that all runs of the running event loop share."""
    loop = asyncio.get_running_loop()
    found = _shared.get(loop)
    if found is None:
        found = _shared[loop] = Turns()
    return found
