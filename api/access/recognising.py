"""Recognising a caller by an ASGI request: a token, or nothing but where it comes from.

A token comes as `Authorization: Bearer`, or in the cookie that the log-in page sets. Browsers
send a cookie with whatever a page of another site asks for, so it counts only where the
request says that it comes from a page of this one.
"""

from collections.abc import MutableMapping
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port
from django.utils import timezone

from ..compiled.workers import in_worker
from ..models import Token
from .callers import READ, SQL, Caller, nobody
from .tokens import find_token, known_token

Scope = MutableMapping[str, Any]

COOKIE = "rootcellar_token"
LOOPBACK, EVERYONE, NOBODY = "loopback", "everyone", "nobody"
ANONYMOUS = (LOOPBACK, EVERYONE, NOBODY)
"""What ANONYMOUS_READ may say: whom the program answers without a token."""

_MEMO = "rootcellar.caller"
# Any of these says that someone else's request was passed on.
_FORWARDING = frozenset(
    {b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"true-client-ip", b"x-cluster-client-ip"}
    | {b"cf-connecting-ip", b"fastly-client-ip", b"client-ip"}
)
_ON_THIS_MACHINE = Caller(name="anonymous", scopes=frozenset({READ, SQL}))
_ANYONE = Caller(name="anonymous", scopes=frozenset({READ}))


async def caller_of(scope: Scope) -> Caller:
    """Who sends a request. Never raises: whoever may nothing has a `refusal` that says why."""
    found = scope.get(_MEMO)
    if found is None:
        found = scope[_MEMO] = await _recognise(scope)
    assert isinstance(found, Caller)
    return found


async def caller_again(scope: Scope) -> Caller:
    """Who sent a request a while ago, as of now: tokens expire, and are revoked."""
    return await _recognise(scope)


def is_own_site(scope: Scope) -> bool:
    """Whether a request comes from a page of this server, of a trusted site, or from no page."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin", b"").decode("latin-1")
    if origin:
        return _is_trusted(origin, headers)
    return headers.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin")


async def _recognise(scope: Scope) -> Caller:
    headers = dict(scope["headers"])
    kind, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if kind:
        if kind.lower() != "bearer" or not secret.strip():
            return nobody("Send the token as Authorization: Bearer, followed by the token.")
        return await _holder(secret.strip())
    if (secret := _cookie(headers)) and _proves_its_page(scope, headers):
        return await _holder(secret)
    return _without_token(scope, headers)


async def _holder(secret: str) -> Caller:
    is_known, token = known_token(secret)
    if not is_known:
        token = await in_worker(lambda: find_token(secret))
    return _of_token(token)


def _of_token(token: Token | None) -> Caller:
    if token is None:
        return nobody("There is no such token. `manage.py tokens create` makes one.")
    if token.revoked_at is not None:
        return nobody(f"The token {token.name} was revoked. `manage.py tokens create` makes one.")
    if token.expires_at is not None and token.expires_at <= timezone.now():
        return nobody(f"The token {token.name} has expired. `manage.py tokens create` makes one.")
    return Caller(
        name=token.name,
        scopes=frozenset(token.scopes),
        sources=None if token.sources is None else frozenset(token.sources),
    )


def _without_token(scope: Scope, headers: dict[bytes, bytes]) -> Caller:
    allowed = settings.ANONYMOUS_READ
    if allowed in (LOOPBACK, EVERYONE) and _is_on_this_machine(scope, headers):
        return _ON_THIS_MACHINE
    if allowed == EVERYONE:
        return _ANYONE
    return nobody(
        "This needs a token: `manage.py tokens create NAME` makes one, to be sent as "
        "Authorization: Bearer. Without one only this machine itself is answered, and only where "
        "ANONYMOUS_READ allows it."
    )


def _is_on_this_machine(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Whether nothing but this machine can have sent the request.

    A server in front of this one connects from the loopback too. It is known by the headers
    that it adds; and a request for any other name than the loopback's came by such a one, or
    from a page that calls this machine by a name of its own.
    """
    if any(name in _FORWARDING or name.startswith(b"x-forwarded") for name in headers):
        return False
    client = scope.get("client")
    if not client or not _is_loopback(client[0]):
        return False
    domain = _domain(headers.get(b"host", b""))
    return domain == "localhost" or _is_loopback(domain.strip("[]"))


@lru_cache(maxsize=100)
def _domain(host: bytes) -> str:
    return split_domain_port(host.decode("latin-1"))[0]


@lru_cache(maxsize=1_000)
def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _cookie(headers: dict[bytes, bytes]) -> str:
    try:
        found = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _proves_its_page(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Whether a request that a browser adds a cookie to comes from a page of this site.

    What reads comes without an origin, from an address typed in: the cookie is sent to no
    request of another site (SameSite=Strict). What posts names its origin, in every browser.
    """
    if not is_own_site(scope):
        return False
    return scope["method"] in ("GET", "HEAD") or b"origin" in headers


def _is_trusted(origin: str, headers: dict[bytes, bytes]) -> bool:
    host = headers.get(b"host", b"").decode("latin-1")
    netloc = urlsplit(origin).netloc
    return (bool(netloc) and netloc == host) or origin in settings.CSRF_TRUSTED_ORIGINS
