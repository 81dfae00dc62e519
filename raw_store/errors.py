"""What can go wrong in the archive; every message says what to do next."""

import difflib
from collections.abc import Iterable


class ArchiveError(Exception):
    """The root of the archive's errors."""


class UnknownFeed(ArchiveError):
    """A feed or source that nothing declares."""


class SegmentCorrupt(ArchiveError):
    """A segment that cannot be read, or whose payloads do not match their digests."""


class SealFailed(ArchiveError):
    """A segment could not be made durable; its payloads are not acknowledged."""


class StoreRefused(ArchiveError):
    """The store does not keep a promise that the archive rests on, or does not answer."""


class PayloadInvalid(ArchiveError):
    """A payload that no archive row can hold, or of another feed than the writer's."""


class SelectionInvalid(ArchiveError):
    """What was asked for says nothing about fetches: a predicate that is none, no such feed."""


class NotQuiet(ArchiveError):
    """Something is being fetched; what is to be erased could come back."""


class ImportRefused(ArchiveError):
    """A file to import is not what it should be; nothing of the named line was archived."""


class ExportRefused(ArchiveError):
    """An export could not be made; no file of it is left."""


class CassetteInvalid(ArchiveError):
    """A file that is to be a cassette is not one, or cannot be read."""


class PayloadNotFound(ArchiveError):
    """No archived payload has this fetch id."""


class BodyUnreadable(ArchiveError):
    """The body is not what was asked of it: not JSON, not text in its charset, not XML."""


class BodyInvalid(ArchiveError):
    """The body is readable, but not what the model that a transform validates it with expects."""

    def __init__(self, message: str, *, field: str = "", value: str = "") -> None:
        super().__init__(message)
        self.field = field
        """Where in the body: `features[3].mag`."""
        self.value = value
        """What stands there, as text."""


class ValidatorMissing(ArchiveError):
    """A transform asks for validated values where pydantic is not installed."""


def closest_first(name: str, known: Iterable[str]) -> list[str]:
    """The known names, those most like `name` first."""

    def unlikeness(candidate: str) -> float:
        return -difflib.SequenceMatcher(None, name.lower(), candidate.lower()).ratio()

    return sorted(sorted(known), key=unlikeness)
