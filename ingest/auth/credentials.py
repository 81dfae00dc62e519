"""Credentials: what is shown with each request, and those that stay as they are."""

import base64
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from ..errors import AuthFailed, ExtractorInvalid
from . import destinations

if TYPE_CHECKING:
    from ..client import Client
    from ..response import Response

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is added to one request."""

    headers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


class Auth:
    """How a feed says who it is. One object serves all runs; what a run knows is its `Keeper`'s."""

    secret_headers: tuple[str, ...] = ()
    """Headers whose value is masked, whatever their name sounds like."""
    secret_parameters: tuple[str, ...] = ()

    def __init__(self, to: str | Iterable[str]) -> None:
        self.to = destinations.parse_all(to)

    def covers(self, url: httpx.URL) -> bool:
        return any(each.covers(url) for each in self.to)

    def keeper(self) -> "Keeper":
        """What keeps this run's state of it."""
        raise NotImplementedError


class Keeper:
    """The credential as one run has it. This one never changes."""

    def __init__(self, auth: "Fixed") -> None:
        self._auth = auth

    async def show(self, client: "Client") -> Shown:
        """What the next request shows. Raises `AuthFailed` when it cannot be had."""
        return self._auth.show()

    async def renew(self, client: "Client", refused: Shown) -> bool:
        """After `refused` was not accepted: whether there is something else to show now."""
        return False

    def is_signed_out(self, response: "Response") -> bool:
        """Whether a response says that the credential no longer holds."""
        return response.status_code == 401


class Fixed(Auth):
    """A credential that is read from the environment, and is the same for every request."""

    def show(self) -> Shown:
        raise NotImplementedError

    def keeper(self) -> Keeper:
        return Keeper(self)


class _Bearer(Fixed):
    def __init__(self, token: str, to: str | Iterable[str], scheme: str) -> None:
        super().__init__(to)
        self._token, self._scheme = named(token), scheme

    def show(self) -> Shown:
        return Shown(headers={"Authorization": f"{self._scheme} {secret(self._token)}"})


class _Basic(Fixed):
    def __init__(self, user: str, password: str, to: str | Iterable[str]) -> None:
        super().__init__(to)
        self._user, self._password = named(user), named(password)

    def show(self) -> Shown:
        return Shown(headers={"Authorization": basic_header(self._user, self._password)})


class _ApiKey(Fixed):
    def __init__(
        self, key: str, to: str | Iterable[str], header: str | None, parameter: str | None
    ) -> None:
        super().__init__(to)
        if (header is None) == (parameter is None):
            raise ExtractorInvalid(
                "api_key(…) takes header= or parameter=; one of them: where the key is shown"
            )
        self._key, self._header, self._parameter = named(key), header, parameter
        self.secret_headers = (header,) if header else ()
        self.secret_parameters = (parameter,) if parameter else ()

    def show(self) -> Shown:
        if self._header:
            return Shown(headers={self._header: secret(self._key)})
        assert self._parameter
        return Shown(parameters={self._parameter: secret(self._key)})


def bearer(token: str, *, to: str | Iterable[str], scheme: str = "Bearer") -> Auth:
    """`Authorization: Bearer …`; `token` names the environment variable that holds it."""
    return _Bearer(token, to, scheme)


def basic(user: str, password: str, *, to: str | Iterable[str]) -> Auth:
    """User and password (RFC 7617); both are names of environment variables."""
    return _Basic(user, password, to)


def api_key(
    key: str,
    *,
    to: str | Iterable[str],
    header: str | None = None,
    parameter: str | None = None,
) -> Auth:
    """A key in a header of this name or in a parameter of the address; `key` names the environment
    variable. What is shown there is masked, whatever the name sounds like."""
    return _ApiKey(key, to, header, parameter)


def named(variable: str) -> str:
    """The name of an environment variable. Raises `ExtractorInvalid` for what is none, without
    repeating it: it may be the secret."""
    if not isinstance(variable, str) or not _NAME.fullmatch(variable):
        raise ExtractorInvalid(
            "auth takes the name of an environment variable, not the secret itself, for example "
            'auth.bearer("SHOP_TOKEN", to="https://api.example.org")'
        )
    return variable


def secret(variable: str) -> str:
    """The value of an environment variable. Raises `AuthFailed` where it is not set."""
    found = os.environ.get(variable, "").strip()
    if not found:
        raise AuthFailed(
            f"The environment variable {variable} is not set, so there is nothing to show to the "
            "origin. Set it and run the feed again."
        )
    return found


def basic_header(user: str, password: str) -> str:
    pair = f"{secret(user)}:{secret(password)}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
