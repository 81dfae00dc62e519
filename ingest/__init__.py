"""Extractors, the archiving client, the schedule and its runs.

A source writes `from ingest import extractor` (or `receiver`) and needs no more.
"""

from .client import Client
from .errors import AddressRefused, FetchFailed, HostUnavailable, IngestError, StatusUnexpected
from .receiving import signatures
from .receiving.receivers import receiver
from .redaction.rules import Secrets
from .registry import extractor
from .response import Response

__all__ = [
    "AddressRefused",
    "Client",
    "FetchFailed",
    "HostUnavailable",
    "IngestError",
    "Response",
    "Secrets",
    "StatusUnexpected",
    "extractor",
    "receiver",
    "signatures",
]
