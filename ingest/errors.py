"""What can go wrong while extracting; every message says what to do next.

A source handles failures with these names and never imports the HTTP client.
"""

from datetime import datetime


class IngestError(Exception):
    """The root of this stage's errors."""


class ExtractorInvalid(IngestError, ValueError):
    """An `@extractor` declaration, or a rule about its secrets, that cannot work."""


class FetchFailed(IngestError):
    """A fetch ended without a whole response, after every retry."""


class AddressRefused(FetchFailed):
    """A request would have gone to an address that is not of the public internet.

    `@extractor(…, allow_private=[…])` opens addresses that are meant.
    """


class AuthFailed(FetchFailed):
    """A credential cannot be had: not set, or refused by a token endpoint."""


class RobotsRefused(FetchFailed):
    """A host's robots.txt does not allow a request, or could not be read."""


class StatusUnexpected(FetchFailed):
    """`raise_for_status()` met a status that is not a success."""

    def __init__(self, message: str, *, status: int, url: str) -> None:
        super().__init__(message)
        self.status = status
        self.url = url


class HostUnavailable(FetchFailed):
    """A host asked for a longer pause than a run waits for."""

    def __init__(self, message: str, *, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class ExtractorFailed(IngestError):
    """An extractor did something that cannot be right, such as a watermark that is not JSON."""


class PagesInCircle(ExtractorFailed):
    """A listing in pages leads back to a page that was seen, or does not go on."""


class RequestUnknown(IngestError):
    """A cassette has no answer to a request."""


class RequestUnanswered(IngestError):
    """In a dry run: what an extractor does next depends on an answer that nobody has."""


class BackfillInvalid(IngestError):
    """A backfill that cannot be done, or of which a part could not."""


class ShardInvalid(IngestError, ValueError):
    """`SHARD` is not written as index/count."""


class ReceiverInvalid(IngestError, ValueError):
    """A `receiver(…)` declaration, or a signature for one, that cannot work."""


class UnknownReceiver(IngestError):
    """A feed that nothing receives."""


class SignatureRefused(IngestError):
    """A push that nobody who knows the receiver's secret has sent."""


class SecretMissing(IngestError):
    """A secret that is to verify pushes is not set, or not one."""


class PushRefused(IngestError):
    """A push that cannot be archived as it is: too large, or not what its coding says."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class NoticeFailed(IngestError):
    """A channel could not be told."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds the channel asks to wait."""
