"""Reading what a killed process has left in its pipe."""

import asyncio

from .asked import LARGEST_FRAME

_LOOK_S = 0.2


async def drained(reader: asyncio.StreamReader) -> None:
    """Read to the end. A pipe that was full is not looked at until it is read.

    Somebody may still be about to stop reading. He may then take along the word that there is more,
    or no more: it is given to one reader alone. So this one does not wait for it for ever.
    """
    while not reader.at_eof():
        try:
            await asyncio.wait_for(reader.read(LARGEST_FRAME), _LOOK_S)
        except TimeoutError:
            continue
        except RuntimeError:
            await asyncio.sleep(_LOOK_S)  # he reads
