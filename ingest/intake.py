"""The bytes of one response as they arrive: in memory at first, in an unnamed file when there are
many of them, so that a body of any size is taken in with little memory.

The file has no name from its first byte on: a process that is killed leaves nothing behind.
"""

import asyncio
import contextlib
import hashlib
import os

import aiofiles.tempfile
from aiofiles.threadpool.binary import AsyncBufferedIOBase

from raw_store.large_bodies import spool_folder
from raw_store.spool import IN_MEMORY, STEP, Spool

from .uncancelled import uncancelled


def failure_of(error: OSError) -> str:
    """What a disk that takes no body says, as a reason token and its message."""
    return f"disk: the body cannot be kept meanwhile: {error.strerror}. Free some space."


class IntakeFailed(Exception):
    """The disk did not take a body."""


class Intake:
    """Takes in one body. Whatever happens meanwhile, `finish` it: that never raises an error."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes taken in."""
        self.taken: bytes | Spool | None = None
        """All of them, once finished; None when the disk did not take them."""
        self.failure: str | None = None
        """What the disk said: a reason token and its message."""
        self._buffer = bytearray()
        self._file: AsyncBufferedIOBase | None = None
        self._digest = hashlib.sha256()

    async def add(self, chunk: bytes) -> None:
        """Take in some bytes. Raises `IntakeFailed`."""
        self.size += len(chunk)
        self._buffer += chunk
        if len(self._buffer) > IN_MEMORY or (self._file and len(self._buffer) >= STEP):
            # What a cancelled fetch got so far is archived: the file must hold all of it.
            await uncancelled(self._write_out())
        if self.failure:
            raise IntakeFailed(self.failure)

    async def finish(self) -> None:
        """Make `taken` of what came; where that fails nothing is left of it."""
        if self._file is None:
            self.taken = None if self.failure else bytes(self._buffer)
            return
        await uncancelled(self._finish(self._file))

    async def _finish(self, file: AsyncBufferedIOBase) -> None:
        await self._write_out()
        try:
            # Flushing writes what is still buffered, and so does closing.
            await file.flush()
            if not self.failure:
                descriptor = os.dup(file.fileno())
                self.taken = Spool(descriptor, self.size, self._digest.hexdigest())
        except OSError as error:
            self.failure = failure_of(error)
        finally:
            with contextlib.suppress(OSError):
                await file.close()

    async def _write_out(self) -> None:
        block, self._buffer = bytes(self._buffer), bytearray()
        try:
            if self._file is None:
                folder = spool_folder()
                await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
                self._file = await aiofiles.tempfile.TemporaryFile("w+b", dir=folder)
            await self._file.write(block)
        except OSError as error:
            self.failure = failure_of(error)
        await asyncio.to_thread(self._digest.update, block)
