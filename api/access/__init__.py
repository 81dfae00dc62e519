"""Who asks, and what they may: `await caller_of(scope)` says so for any ASGI request."""

from .callers import ADMIN, READ, SCOPES, SQL, Caller
from .recognising import caller_of

__all__ = ["ADMIN", "READ", "SCOPES", "SQL", "Caller", "caller_of"]
