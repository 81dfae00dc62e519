"""The response an extractor sees: httpx-shaped, built from the archived bytes."""

from typing import TYPE_CHECKING, Self, cast

import httpx

from .errors import StatusUnexpected

if TYPE_CHECKING:
    from raw_store.payload import Payload


class Response(httpx.Response):
    """One response: `.status_code`, `.headers`, `.text`, `.json()`, `.links` and the rest.

    Its body is the archived one, already decoded. Only what the archive masks (cookies, tokens)
    is here as the server sent it.
    """

    @property
    def payload(self) -> "Payload":
        """The payload as archived."""
        return cast("Payload", self.extensions["payload"])

    def raise_for_status(self) -> Self:
        """Return this response when its status is 2xx; raise `StatusUnexpected` otherwise."""
        if self.is_success:
            return self
        payload = self.payload
        raise StatusUnexpected(
            f"{payload.method} {payload.url} answered {self.status_code} {self.reason_phrase} "
            f"(attempt {payload.attempt}). `manage.py archive show {payload.fetch_id}` "
            "shows the whole answer.",
            status=self.status_code,
            url=payload.url,
        )
