"""Extractors, the archiving client, the schedule and its runs.

A source writes `from ingest import extractor` and needs no more.
"""

from .errors import FetchFailed, HostUnavailable, IngestError, StatusUnexpected
from .registry import extractor

__all__ = ["FetchFailed", "HostUnavailable", "IngestError", "StatusUnexpected", "extractor"]
