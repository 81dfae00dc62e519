"""Which feeds this process extracts, when several processes share them: `SHARD=1/4`.

The share goes by source, so all feeds of a source, and with them the hosts it asks, stay in one
process. The hash is rendezvous over a real digest: every process agrees, and when the number of
shards changes few sources move.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from .errors import ShardInvalid


@dataclass(frozen=True, slots=True)
class Shard:
    """The shard `index` of `count`; 1 of 1 owns everything."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """`1/4`, or empty for all. Raises `ShardInvalid`."""
        if not text.strip():
            return cls()
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
        if not (match and 1 <= int(match[1]) <= int(match[2])):
            raise ShardInvalid(
                f"SHARD={text!r} is not index/count; write 1/4, 2/4, 3/4 and 4/4 for four shards."
            )
        return cls(int(match[1]), int(match[2]))

    def owns(self, source: str) -> bool:
        """Whether this shard extracts `source`."""
        weights = {index: _weight(index, source) for index in range(1, self.count + 1)}
        return max(weights, key=weights.__getitem__) == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def _weight(index: int, source: str) -> bytes:
    return hashlib.sha256(f"{index}:{source}".encode()).digest()
