"""One exchange: a request that went out, and everything that came back, whatever happened."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from raw_store.spool import Spool

from .errors import WireFailure
from .head import Headers


@dataclass(slots=True, kw_only=True)
class Exchange:
    """What came back, up to where it ended."""

    fetched_at: datetime
    elapsed_ms: int = 0
    status: int | None = None
    reason: str | None = None
    http_version: str | None = None
    headers: Headers = ()
    encoded: bytes | Spool | None = None
    """The body as transferred. None where no response came, or where it could not be kept."""
    truncated: str | None = None
    """WARC's reason token, when the body is not whole."""
    error: str | None = None
    """A reason token and its message."""
    exception: BaseException | None = None
    """What to raise once the exchange is archived."""

    @property
    def encoded_size(self) -> int:
        """Bytes of the body as transferred."""
        return self.encoded.size if isinstance(self.encoded, Spool) else len(self.encoded or b"")

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        for key, value in self.headers:
            if len(key) == len(name) and key.lower() == name:
                return value
        return None

    def listed(self, name: str) -> str | None:
        """All headers of this name as one, as RFC 9110 (5.3) reads those that hold lists."""
        size = len(name)
        values = [value for key, value in self.headers if len(key) == size and key.lower() == name]
        return ", ".join(values) if values else None

    def ended(self, error: BaseException) -> None:
        """Note what ended it early."""
        if isinstance(error, WireFailure):
            token, truncated = error.token, error.truncated
        elif isinstance(error, asyncio.CancelledError):
            token, truncated = "cancelled", "unspecified"
        else:
            token, truncated = "unexpected", "unspecified"
        self.error = f"{token}: {str(error) or type(error).__name__}"
        self.exception = error
        if self.status is not None:
            self.truncated = truncated
