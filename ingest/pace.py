"""How often a fetch is tried, and how long between. How fast a host is asked: `politeness`."""

import random
from dataclasses import dataclass

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a fetch is tried, how long between, and for how long a host may make it wait."""

    attempts: int = 4
    base: float = 0.5
    """Seconds before the second attempt; each later pause is twice as long."""
    longest: float = 60.0
    """Seconds no back-off exceeds."""
    ceiling: float = 300.0
    """Seconds of pause a run waits for; asked for more, it fails and says until when."""

    def backoff(self, attempt: int) -> float:
        """Seconds to wait after the failed `attempt` (1 is the first), with jitter."""
        pause = min(self.base * 2.0 ** min(attempt - 1, 30), self.longest)
        return pause * random.uniform(0.5, 1.0)
