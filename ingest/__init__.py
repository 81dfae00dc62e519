"""Extractors, the archiving client, the schedule and its runs.

A source writes `from ingest import extractor` (or `receiver`) and needs no more.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_PLACES = {
    "Client": "client",
    "Response": "response",
    "Secrets": "redaction.rules",
    "Window": "windows",
    "extractor": "registry",
    "receiver": "receiving.receivers",
}
"""Name → the module that has it; an error's is `errors`."""
_MODULES = {"auth": "auth", "pagination": "pagination", "signatures": "receiving.signatures"}


def __getattr__(name: str) -> Any:
    """Load what is asked for (PEP 562): many processes need the models alone, not HTTP."""
    if name in _MODULES:
        found = import_module(f"{__name__}.{_MODULES[name]}")
    elif name in __all__:
        found = getattr(import_module(f"{__name__}.{_PLACES.get(name, 'errors')}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
