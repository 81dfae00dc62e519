"""What a run shows, request by request."""

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import httpx

from .credentials import Auth, Keeper, Shown

if TYPE_CHECKING:
    from ..client import Client
    from ..response import Response

is_signing_in: ContextVar[bool] = ContextVar("is_signing_in", default=False)
"""True within a sign-in or a token request, which must not wait for itself."""


class RunAuth:
    """The credentials of one run."""

    def __init__(self, auths: Iterable[Auth]) -> None:
        self._auths = tuple(auths)
        self._keepers: dict[int, Keeper] = {}

    def keeper(self, url: str) -> Keeper | None:
        """Whose credential an address gets; the first whose `to=` covers it."""
        if not self._auths or is_signing_in.get():
            return None
        address = httpx.URL(url)
        for number, auth in enumerate(self._auths):
            if auth.covers(address):
                if number not in self._keepers:
                    self._keepers[number] = auth.keeper()
                return self._keepers[number]
        return None


class Turn:
    """One request's dealings with its credential: shown, and renewed once at most."""

    def __init__(self, keeper: Keeper, client: "Client") -> None:
        self._keeper, self._client = keeper, client
        self._shown = Shown()
        self._was_renewed = False

    async def show(self) -> Shown:
        self._shown = await self._keeper.show(self._client)
        return self._shown

    async def is_worth_another_try(self, response: "Response") -> bool:
        """Whether a response refused the credential and there is another one now."""
        if self._was_renewed or not self._keeper.is_signed_out(response):
            return False
        self._was_renewed = True
        return await self._keeper.renew(self._client, self._shown)


def with_shown(
    url: str, headers: Mapping[str, str], values: Mapping[str, Any], shown: Shown | None
) -> dict[str, Any]:
    """The parts of a request, a credential among them; what the extractor gives itself wins."""
    if shown is None:
        return {"url": url, "headers": headers, **values}
    given = {name.lower() for name in headers}
    added = {name: value for name, value in shown.headers.items() if name.lower() not in given}
    parts = {"url": url, **values, "headers": {**added, **headers}}
    if shown.parameters:
        params = values.get("params")
        address = httpx.URL(url) if params is None else httpx.URL(url, params=params)
        parts |= {"url": str(address.copy_merge_params(dict(shown.parameters))), "params": None}
    return parts
