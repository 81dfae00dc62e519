"""Live progress of several runs at once: payloads, bytes, rate, and failures per feed."""

from collections import Counter
from typing import TextIO

from raw_store.payload import Payload
from raw_store.progress import Progress


class ExtractProgress(Progress):
    """Counts archived payloads; `archived` is the callback a run takes."""

    def __init__(self, *, out: TextIO | None = None, quiet: bool = False) -> None:
        super().__init__("extract", out=out, quiet=quiet)
        self.received_bytes = 0
        self.payloads: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    def archived(self, payload: Payload) -> None:
        """Count one archived payload."""
        self.received_bytes += payload.encoded_size or 0
        self.payloads[payload.feed] += 1
        self.failures[payload.feed] += is_failure(payload)
        self.advance()

    def __str__(self) -> str:
        feeds = ", ".join(
            f"{feed} {count:,}"
            + (f" ({failed:,} failed)" if (failed := self.failures[feed]) else "")
            for feed, count in sorted(self.payloads.items())
        )
        return f"{super().__str__()}, {as_size(self.received_bytes)}; {feeds}"


def is_failure(payload: Payload) -> bool:
    """Whether a fetch ended in an error or an error status; 404 and 410 are answers."""
    status = payload.status or 0
    return payload.error is not None or (status >= 400 and status not in (404, 410))


def as_size(count: int) -> str:
    """A number of bytes for people: `12.3 MB`."""
    if count < 1000:
        return f"{count} B"
    power = min((len(str(count)) - 1) // 3, 4)
    return f"{count / 1000**power:.1f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
