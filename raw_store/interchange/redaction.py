"""What masks the secrets of imported exchanges, before a payload leaves memory.

The rules are those of live fetches, and they live with extraction, which the archive does not know:
its app registers them here. Without rules nothing is imported.
"""

from collections.abc import Callable
from typing import Protocol

from ..errors import ImportRefused
from ..payload import Payload


class Redaction(Protocol):
    """The rules of one feed."""

    def redact(self, payload: Payload) -> Payload:
        """The payload as it may reach the disk; what is masked already stays as it is.

        Where the body is changed or withheld, its digests are too.
        """

    def request_key(self, payload: Payload, key_headers: tuple[str, ...]) -> str:
        """The key of a payload's request, the same with another token."""


_rules: list[Callable[[str], Redaction]] = []


def register(make: Callable[[str], Redaction]) -> None:
    """Make `make(feed)` the rules of each feed."""
    _rules[:] = [make]


def of_feed(feed: str) -> Redaction:
    """The rules of a feed. Raises `ImportRefused` when none are registered."""
    if not _rules:
        raise ImportRefused(
            "Nothing here masks the secrets in recorded requests, so nothing is imported. Install "
            "the app `ingest` (INSTALLED_APPS), whose rules are those of live fetches."
        )
    return _rules[0](feed)
