"""Sessions: a run signs in first, and its jar keeps the cookies it was given."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import AuthFailed
from .credentials import Auth, Keeper, Shown

if TYPE_CHECKING:
    from ..client import Client
    from ..response import Response

SignIn = Callable[[Any], Awaitable[Mapping[str, str] | None]]
IsSignedOut = Callable[["Response"], bool]


class _Login(Auth):
    def __init__(
        self, sign_in: SignIn, to: str | Iterable[str], is_signed_out: IsSignedOut | None
    ) -> None:
        super().__init__(to)
        self.sign_in, self.told = sign_in, is_signed_out

    def keeper(self) -> "_SessionKeeper":
        return _SessionKeeper(self)


class _SessionKeeper(Keeper):
    def __init__(self, auth: _Login) -> None:
        self._login = auth
        self._lock = asyncio.Lock()
        self._shown: Shown | None = None

    async def show(self, client: "Client") -> Shown:
        if self._shown is None:
            async with self._lock:
                if self._shown is None:
                    self._shown = await self._sign_in(client)
        return self._shown

    async def renew(self, client: "Client", refused: Shown) -> bool:
        async with self._lock:
            # By identity: a session of cookies alone shows nothing of its own.
            if self._shown is refused:
                self._shown = await self._sign_in(client)
        return True

    def is_signed_out(self, response: "Response") -> bool:
        told = self._login.told
        return response.status_code == 401 or bool(told and told(response))

    async def _sign_in(self, client: "Client") -> Shown:
        headers = await client._unauthenticated(self._login.sign_in)
        if headers is not None and not isinstance(headers, Mapping):
            raise AuthFailed(
                "A sign-in returns the headers that later requests show, or None where the cookies "
                f"are enough; got a {type(headers).__name__}."
            )
        return Shown(headers=dict(headers or {}))


def login(
    sign_in: SignIn, *, to: str | Iterable[str], signed_out: IsSignedOut | None = None
) -> Auth:
    """A session: `async def sign_in(client)` is called before a run's first request to `to`.

    The cookies it is given are the run's; it may return headers that later requests show. It is
    called once more after a 401, and after a response for which `signed_out` is true, such as one
    that was redirected to the sign-in page; the request is then made again.
    """
    return _Login(sign_in, to, signed_out)
