"""A spool: a body too large for memory, in a file without a name.

The file is unlinked as soon as it is open, so a process that is killed leaves nothing behind. It
lives until the last handle on it is closed; many readers may read it at once.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

STEP = 1 << 20
IN_MEMORY = 8 * 1024 * 1024
"""Bytes. A body that grows beyond them while it is received or decoded goes on in a spool."""


class Spool:
    """Bytes that were written once and may be read any number of times."""

    def __init__(self, descriptor: int, size: int, digest: str) -> None:
        """Take over an open file: it is closed when the spool is."""
        self._descriptor = descriptor
        self.size = size
        """Bytes."""
        self.digest = digest
        """SHA-256, hex."""

    @classmethod
    def of(cls, chunks: Iterable[bytes], folder: str | Path | None = None) -> Self:
        """A spool of these bytes, in a file below `folder` (made if need be; default: the
        system's)."""
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
        found = hashlib.sha256()
        size = 0
        with tempfile.TemporaryFile(dir=folder) as file:
            for chunk in chunks:
                found.update(chunk)
                size += len(chunk)
                file.write(chunk)
            file.flush()
            return cls(os.dup(file.fileno()), size, found.hexdigest())

    def chunks(self, step: int = STEP) -> Iterator[bytes]:
        """The bytes from the beginning, `step` at a time."""
        at = 0
        while at < self.size:
            chunk = os.pread(self._descriptor, min(step, self.size - at), at)
            if not chunk:
                raise OSError(f"The spool ends after {at} of {self.size} bytes.")
            at += len(chunk)
            yield chunk

    def read(self) -> bytes:
        """All of it, in memory."""
        return b"".join(self.chunks())

    def close(self) -> None:
        """Let the file go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()
