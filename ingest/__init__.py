"""Extractors, the archiving client, the schedule and its runs.

A source writes `from ingest import extractor` (or `receiver`) and needs no more.
"""

from . import auth, pagination
from .client import Client
from .errors import (
    AddressRefused,
    AuthFailed,
    FetchFailed,
    HostUnavailable,
    IngestError,
    PagesInCircle,
    RobotsRefused,
    StatusUnexpected,
)
from .receiving import signatures
from .receiving.receivers import receiver
from .redaction.rules import Secrets
from .registry import extractor
from .response import Response
from .windows import Window

__all__ = [
    "AddressRefused",
    "AuthFailed",
    "Client",
    "FetchFailed",
    "HostUnavailable",
    "IngestError",
    "PagesInCircle",
    "Response",
    "RobotsRefused",
    "Secrets",
    "StatusUnexpected",
    "Window",
    "auth",
    "extractor",
    "pagination",
    "receiver",
    "signatures",
]
