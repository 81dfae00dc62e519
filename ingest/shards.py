"""What this process extracts, when several share the work: `SHARD=1/4`.

The share goes by host, or by source where a feed names none, so a host's connections stay in one
process; of a feed that is spread, by request. The hash is rendezvous over a real digest: every
process agrees, and when the number of shards changes little moves.
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

    def owns(self, key: str) -> bool:
        """Whether what has this key (a host, a source, a request) is this shard's."""
        if self.count == 1:
            return True
        weights = {index: _weight(index, key) for index in range(1, self.count + 1)}
        return max(weights, key=weights.__getitem__) == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


ALL = Shard()
"""One process that extracts everything."""


def _weight(index: int, key: str) -> bytes:
    return hashlib.sha256(f"{index}:{key}".encode()).digest()
