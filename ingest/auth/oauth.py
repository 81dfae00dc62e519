"""OAuth 2.0: access tokens for a client's own credentials or for a refresh token (RFC 6749).

A token is kept in memory, for all runs of the process, and asked for anew shortly before it
expires and once after it was refused. However many requests wait for one, it is asked for once.
"""

import asyncio
import base64
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

from ..errors import AuthFailed, ExtractorInvalid
from .credentials import Auth, Keeper, Shown, named, secret

if TYPE_CHECKING:
    from ..client import Client
    from ..response import Response

_EARLY = 60.0
"""Seconds before its end from which a token is not used, but at most a tenth of its life."""


@dataclass(slots=True)
class _Token:
    value: str
    until: float | None
    """By the monotonic clock; None where the server did not say."""

    @property
    def is_good(self) -> bool:
        return self.until is None or time.monotonic() < self.until


class _Cell:
    """One token of this process, and the lock of whoever asks for it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.token: _Token | None = None
        self.refresh_token: str | None = None
        """The newest one that the server handed out; it may have replaced the environment's."""


class _OAuth(Auth):
    def __init__(
        self,
        token_url: str,
        to: str | Iterable[str],
        *,
        client_id: str,
        client_secret: str | None,
        refresh: str | None,
        scope: str | None,
        style: str,
        extra: Mapping[str, str] | None,
    ) -> None:
        super().__init__(to)
        if style not in ("basic", "body"):
            raise ExtractorInvalid(
                f'style= is "basic" or "body", where the client\'s secret is shown; got {style!r}'
            )
        self.token_url = token_url
        self._client_id = named(client_id)
        self._client_secret = None if client_secret is None else named(client_secret)
        self._refresh = None if refresh is None else named(refresh)
        self._scope, self._style, self._extra = scope, style, dict(extra or {})

    def keeper(self) -> "_TokenKeeper":
        return _TokenKeeper(self, _shared_cell(self))

    @property
    def key(self) -> tuple[Any, ...]:
        """What two declarations share that may share a token."""
        names = (self._client_id, self._client_secret, self._refresh)
        return (self.token_url, *names, self._scope, tuple(sorted(self._extra.items())))

    def request(self, newest_refresh: str | None) -> dict[str, Any]:
        """The token request (RFC 6749, 4.4.2 and 6)."""
        form: dict[str, str] = dict(self._extra)
        if self._refresh is None:
            form["grant_type"] = "client_credentials"
        else:
            form |= {"grant_type": "refresh_token"}
            form["refresh_token"] = newest_refresh or secret(self._refresh)
        if self._scope:
            form["scope"] = self._scope
        headers = {"Accept": "application/json"}
        client_id = secret(self._client_id)
        if self._client_secret and self._style == "basic":
            # Each part is encoded as in a form first (RFC 6749, 2.3.1).
            pair = f"{quote(client_id, safe='')}:{quote(secret(self._client_secret), safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = client_id
            if self._client_secret:
                form["client_secret"] = secret(self._client_secret)
        return {"data": form, "headers": headers}

    def refused(self, response: "Response") -> AuthFailed:
        said = _object(response)
        reason = str(said.get("error") or f"status {response.status_code}")
        if isinstance(more := said.get("error_description"), str):
            reason = f"{reason} ({more})"
        names = [self._client_id, self._client_secret, self._refresh]
        listed = ", ".join(each for each in names if each)
        hint = (
            " A refresh token that was used may have been replaced by the server; sign in anew and "
            f"set {self._refresh}."
            if self._refresh
            else ""
        )
        return AuthFailed(
            f"{response.payload.url} gave no token: {reason}. Check the environment variables "
            f"{listed}.{hint}"
        )


class _TokenKeeper(Keeper):
    def __init__(self, auth: _OAuth, cell: _Cell) -> None:
        self._oauth, self._cell = auth, cell

    async def show(self, client: "Client") -> Shown:
        cell = self._cell
        if cell.token is None or not cell.token.is_good:
            async with cell.lock:
                if cell.token is None or not cell.token.is_good:
                    cell.token = await self._ask(client)
        return _shown(cell.token)

    async def renew(self, client: "Client", refused: Shown) -> bool:
        cell = self._cell
        async with cell.lock:
            # Somebody else may have done it while this one waited.
            if cell.token is not None and _shown(cell.token) == refused:
                cell.token = None
                cell.token = await self._ask(client)
        return True

    async def _ask(self, client: "Client") -> _Token:
        asked = self._oauth.request(self._cell.refresh_token)
        response = await client._ask_for_token(self._oauth.token_url, **asked)
        said = _object(response)
        value = said.get("access_token")
        kind = str(said.get("token_type", "bearer"))
        if not response.is_success or not isinstance(value, str) or not value:
            raise self._oauth.refused(response)
        if kind.lower() != "bearer":
            raise AuthFailed(
                f"{response.payload.url} gave a token of type {kind!r}; only bearer tokens are "
                "understood."
            )
        if isinstance(newer := said.get("refresh_token"), str) and newer:
            self._cell.refresh_token = newer
        return _Token(value, _until(said.get("expires_in")))


def client_credentials(
    token_url: str,
    *,
    to: str | Iterable[str],
    client_id: str,
    client_secret: str,
    scope: str | None = None,
    style: str = "basic",
    extra: Mapping[str, str] | None = None,
) -> Auth:
    """Access tokens for the client itself (RFC 6749, 4.4).

    `client_id` and `client_secret` name environment variables. `style` says where the server wants
    them: `"basic"`, a header, or `"body"`. `extra` are further fields, such as `audience`.
    """
    return _OAuth(
        token_url,
        to,
        client_id=client_id,
        client_secret=client_secret,
        refresh=None,
        scope=scope,
        style=style,
        extra=extra,
    )


def refresh_token(
    token_url: str,
    *,
    to: str | Iterable[str],
    token: str,
    client_id: str,
    client_secret: str | None = None,
    scope: str | None = None,
    style: str = "basic",
    extra: Mapping[str, str] | None = None,
) -> Auth:
    """Access tokens for a refresh token (RFC 6749, 6); `token` names its environment variable.

    A refresh token that the server hands out with an access token is used from then on, and kept
    in memory alone.
    """
    return _OAuth(
        token_url,
        to,
        client_id=client_id,
        client_secret=client_secret,
        refresh=token,
        scope=scope,
        style=style,
        extra=extra,
    )


_cells: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[Any, ...], _Cell]]" = (
    WeakKeyDictionary()
)


def _shared_cell(auth: _OAuth) -> _Cell:
    """The token that all runs of the running event loop share."""
    return _cells.setdefault(asyncio.get_running_loop(), {}).setdefault(auth.key, _Cell())


def _shown(token: _Token | None) -> Shown:
    assert token is not None
    return Shown(headers={"Authorization": f"Bearer {token.value}"})


def _until(expires_in: Any) -> float | None:
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError):
        return None
    return time.monotonic() + seconds - min(_EARLY, seconds / 10)


def _object(response: "Response") -> dict[str, Any]:
    try:
        said = response.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
