"""Which answers hand out secrets: those of token endpoints, told by their shape or their request.

OAuth 2.0 (RFC 6749, section 5.1), its device flow (RFC 8628), token exchange (RFC 8693) and
introspection (RFC 7662); OpenID Connect; client registration (RFC 7591); cloud credentials as AWS
STS, its metadata service, Google and Azure give them; GitHub's, Docker's, and log-ins of no
standard that answer a password with a token.
"""

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl

from . import bodies
from .names import Names, squashed

SHAPE_LIMIT = 64 * 1024
"""Bytes; an answer that long is not told by its shape. Answers of token endpoints are short."""
_LOGIN_LIMIT = 16 * 1024

_GRANT = re.compile(rb"(?:\A|[&?\s{,<])[\"']?grant_type[\"']?\s*[=:>]", re.IGNORECASE)
# Enough by themselves.
_HANDED_OUT = frozenset(
    """
    accesstoken refreshtoken idtoken devicecode secretaccesskey clientsecret sessiontoken
    authtoken bearertoken oauthtoken oauthtokensecret jwt
    """.split()  # noqa: SIM905
)
# `token` alone is any word; beside one of these it was issued.
_ISSUED = frozenset(
    "expires expiresat expiresin expiration expiry issuedat tokentype permissions".split()  # noqa: SIM905
)
_LOGGED_IN = _HANDED_OUT | {"token", "session", "sessionid", "sessionkey", "ticket", "apikey"}
_LOGIN = re.compile(
    rb"passw(?:or)?d|passphrase|client_?secret|refresh_?token|assertion|[\"&]pwd\b", re.IGNORECASE
)
_MAYBE = (b"oken", b"ecret", b"evice", b"jwt")
_LOGIN_MAYBE = (*_MAYBE, b"ession", b"icket", b"pi_key", b"piKey")
# An object, a document, a token, a form: no list, no table, no picture.
_MAY_BE = re.compile(rb"[\s\xef\xbb\xbf]*(?:[{<]|\"?eyJ|[\w.-]+=)")
_JWT = re.compile(rb"\s*\"?eyJ[\w-]+\.[\w-]+\.[\w-]*(?:\.[\w-]*){0,2}\"?\s*")
_JSON_NAME = re.compile(r'"([^"\\]{2,40})"\s*:\s*"')
_XML_NAME = re.compile(r"<(?:[\w.-]+:)?([\w.-]{2,40})(?:\s[^<>]*)?>[^<\s]")
_XML_HANDED_OUT = frozenset(
    """
    accesstoken refreshtoken secretaccesskey sessionid sessiontoken binarysecuritytoken
    requestedsecuritytoken assertionid
    """.split()  # noqa: SIM905
)


def is_declared(url: str, endpoints: tuple[str, ...]) -> bool:
    """Whether a rule says that answers from here are not archived; `*` stands for anything."""
    return any(url.startswith(each) or fnmatchcase(url, f"{each}*") for each in endpoints)


def is_token_request(request_body: bytes | None, url: str) -> bool:
    """Whether a request asks for a token: it names its grant (RFC 6749, section 4)."""
    if request_body and _GRANT.search(request_body[:SHAPE_LIMIT]):
        return True
    return "grant_type=" in url


def hands_out(answer: bytes, names: Names, *, request_body: bytes | None) -> bool:
    """Whether an answer hands out a secret: by its shape, and by what was asked.

    Names that the rules keep are no secrets.
    """
    if len(answer) >= SHAPE_LIMIT or not _MAY_BE.match(answer):
        return False
    is_login = (
        len(answer) <= _LOGIN_LIMIT
        and request_body is not None
        and _LOGIN.search(request_body[:SHAPE_LIMIT]) is not None
    )
    hints = _LOGIN_MAYBE if is_login else _MAYBE
    if _is_introspection(answer, request_body) or _JWT.fullmatch(answer):
        return True
    if not _has_any(hints, *_around_its_list(answer)):
        return False
    text = answer.decode("utf-8", "replace")
    if bodies.looks_like_json(text):
        return _json_hands_out(text, names, is_login)
    if bodies.looks_like_xml(text):
        found = {squashed(name) for name in _XML_NAME.findall(text)}
        return any(name in _XML_HANDED_OUT and not names.is_kept(name) for name in found)
    if bodies.looks_like_form(text):
        return _names_hand_out(dict(parse_qsl(text.strip())), names, is_login)
    return False


def _has_any(hints: tuple[bytes, ...], *parts: bytes) -> bool:
    for part in parts:
        for hint in hints:
            if hint in part:
                return True
    return False


def _around_its_list(answer: bytes) -> tuple[bytes, ...]:
    """What stands before and behind the only list of a JSON object, whose objects are data; all of
    any other answer.

    A listing is the commonest answer of an API, and nearly all of it is its list.
    """
    end = answer.find(b"]")
    if answer[:1] != b"{" or end < 0 or answer.rfind(b"]") != end:
        return (answer,)
    before, behind = answer[: max(answer.find(b"["), 0)], answer[end + 1 :]
    # A bracket within a text is none: there the quotation marks before or behind it are odd.
    if b"\\" in before or b"\\" in behind or before.count(b'"') % 2 or behind.count(b'"') % 2:
        return (answer,)
    return before, behind


def _json_hands_out(text: str, names: Names, is_login: bool) -> bool:
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        # Cut off on its way.
        found = dict.fromkeys(_JSON_NAME.findall(text), "…")
        return _names_hand_out(found, names, is_login)
    return any(_names_hand_out(each, names, is_login) for each in _objects(document, 4))


def _objects(value: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    """The object, and those directly within objects; not those in lists, which are data."""
    if isinstance(value, dict) and depth:
        yield value
        for each in value.values():
            yield from _objects(each, depth - 1)


def _names_hand_out(found: Mapping[str, Any], names: Names, is_login: bool) -> bool:
    said = {
        squashed(name)
        for name, value in found.items()
        if isinstance(value, str) and value and not names.is_kept(name)
    }
    if said & (_LOGGED_IN if is_login else _HANDED_OUT):
        return True
    return "token" in said and bool(_ISSUED & {squashed(name) for name in found})


def _is_introspection(answer: bytes, request_body: bytes | None) -> bool:
    if (
        not request_body
        or b'"active"' not in answer
        or not re.search(rb"(?:\A|&)token=", request_body)
    ):
        return False
    try:
        document = json.loads(answer)
    except json.JSONDecodeError:
        return False
    return isinstance(document, dict) and isinstance(document.get("active"), bool)
