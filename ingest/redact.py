"""Secrets are masked before a payload leaves memory: none of them reaches the disk.

A masked value reads `redacted-` and sixteen hex digits: a digest of the secret keyed with the
installation's `SECRET_KEY`. Two fetches with the same secret show the same digits, and without
the key the digits say nothing.

What is masked, in requests and responses alike: `docs/secrets.md` lists it. `ingest.redaction`
holds where secrets stand; here is what becomes of them. A feed's own rules are its
`@extractor(…, secrets=Secrets(…))`.
"""

import hashlib
import hmac
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from .redaction import answers, bodies, texts
from .redaction.met import Grip, Met, decoded_basic, looks_random
from .redaction.names import Names, Sort
from .redaction.rules import NO_RULES, Secrets

Headers = tuple[tuple[str, str], ...]

MASK = "redacted"

_MASKED = re.compile(rf"{MASK}(?:-[0-9a-f]{{16}})?")
_MASKED_BYTES = re.compile(rf"{MASK}-[0-9a-f]{{16}}".encode())
_CREDENTIALS = frozenset({"authorization", "proxy-authorization"})
_CHALLENGES = frozenset({"www-authenticate", "proxy-authenticate"})
_REQUEST_COOKIES = frozenset({"cookie", "cookie2"})
_RESPONSE_COOKIES = frozenset({"set-cookie", "set-cookie2"})
# Of an unknown scheme nobody can say where the secret begins.
_SCHEMES = frozenset(
    """
    basic bearer digest negotiate ntlm kerberos hoba mutual dpop gnap vapid privatetoken hawk mac
    oauth scram-sha-1 scram-sha-256 signature token apikey api-key api_key api-token key bot jwt
    aws aws4-hmac-sha256 aws4-ecdsa-p256-sha256 goog1 goog4-hmac-sha256 goog4-rsa-sha256
    sharedkey sharedkeylite sharedaccesssignature hmac hmac-sha256 hmac-sha512 http-signature
    acs3-hmac-sha256 tc3-hmac-sha256 qcloud oss obs googlelogin geniekey splunk snowflake
    klaviyo-api-key discogs zoho-oauthtoken passport session user usertoken access_token
    """.split()  # noqa: SIM905
)
_TOKEN68 = re.compile(
    r"((?:Negotiate|NTLM|Kerberos|Bearer|Basic)\s+)([\w.~+/-]{16,}=*)(?=\s*(?:,|$))", re.I
)
_QUOTED = re.compile(r"([\w-]+)=\"?([^\",\s]{8,})\"?")
_CACHED = 4_096

_recent: "deque[Redactor]" = deque(maxlen=32)


class Redactor:
    """Masks secrets, and remembers in memory those it met so that messages can be scrubbed too.

    One per run. `key` is the installation's; `rules` are the feed's.
    """

    def __init__(self, key: str, rules: Secrets = NO_RULES) -> None:
        self._key = key.encode()
        self._digests: dict[str, str] = {}
        # What was found to hold no secret; what does hold one is met anew each time.
        self._plain: dict[tuple[str, str], None] = {}
        self._plain_urls: dict[str, None] = {}
        self._met = Met()
        self._endpoints = tuple(rules.token_endpoints)
        # A parameter's name is a field's, too: forms have both.
        self._names = Names(rules, [*rules.parameters, *rules.fields])
        self._declared = Names(rules, rules.fields, only_declared=True)
        patterns = [re.compile(pattern) for pattern in rules.patterns]
        given: dict[str, Any] = {"patterns": patterns, "path_patterns": rules.path_patterns()}
        self._masking = texts.Masking(self._names, self._show, **given)
        self._key_masking = texts.Masking(self._names, self._show_bare, **given)
        self._answer_masking = texts.Masking(self._declared, self._show, patterns)
        self._learn_environment()
        _recent.append(self)

    def mask(self, secret: str) -> str:
        """`redacted-` and the keyed digest of `secret`. An empty secret is none."""
        if not secret or _MASKED.fullmatch(secret):
            return secret
        known = self._digests.get(secret)
        if known is None:
            _forget_some(self._digests)
            digest = hmac.new(self._key, _as_bytes(secret), hashlib.sha256)
            known = self._digests[secret] = f"{MASK}-{digest.hexdigest()[:16]}"
        return known

    def url(self, url: str, *, for_key: bool = False) -> str:
        """The address without user information and secret parameters, otherwise as it was.

        With `for_key` the digest of a clear secret is left out: the same request with another
        token is still the same request.
        """
        if url in self._plain_urls:
            return url if for_key else self._met.in_text(url)
        masked = texts.address(url, self._key_masking if for_key else self._masking)
        if masked == url:
            _forget_some(self._plain_urls)
            self._plain_urls[url] = None
        return masked if for_key else self._met.in_text(masked)

    def is_secret_header(self, name: str) -> bool:
        """Whether all of a header of this name (in lower case) is a secret."""
        return self._names.is_secret_header(name)

    def headers(self, headers: Headers) -> Headers:
        """The headers in their order, secret values masked, also where a value repeats a secret
        that this run met."""
        plain = self._plain
        shown = tuple(
            [pair if pair in plain else (pair[0], self._header(*pair)) for pair in headers]
        )
        if not self._met.looks_in_texts:
            return shown
        return tuple([(name, self._met.in_text(value)) for name, value in shown])

    def request_body(
        self, body: bytes | None, content_type: str | None, *, for_key: bool = False
    ) -> bytes | None:
        """The body of a request, with its secret fields masked: a form's, multipart, JSON, XML."""
        if not body:
            return body
        return bodies.body(body, content_type, self._key_masking if for_key else self._masking)

    def is_token_answer(
        self,
        body: bytes,
        *,
        status: int | None,
        url: str,
        request_body: bytes | None = None,
    ) -> bool:
        """Whether this is the answer of a token endpoint, whose body is not archived at all.

        A body of 64 kB and more is one only by its request or by a rule. An error status that
        names its error (RFC 6749, section 5.2) hands out nothing and is archived.
        """
        if self._endpoints and answers.is_declared(url, self._endpoints):
            return True
        is_success = status is None or status < 400
        if is_success and answers.is_token_request(request_body, url):
            return True
        return answers.hands_out(body, self._names, request_body=request_body)

    def response_body(self, body: bytes) -> bytes:
        """The body of a response: as it was, but for secrets this run sent that it repeats, and
        for what the feed's rules declare."""
        if not body:
            return body
        if self._declared or self._answer_masking.patterns:
            body = bodies.body(body, None, self._answer_masking)
        return self._met.in_body(body)

    def response_chunks(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """`response_body` for a body too large for memory, in constant memory.

        It looks for the secrets this run met; a feed's `fields` and `patterns` need a whole body.
        """
        return self._met.in_chunks(chunks)

    def text(self, value: str | None) -> str | None:
        """A reason phrase or a header's value by itself, without secrets."""
        if not value or (("", value) in self._plain and not self._met.looks_in_texts):
            return value
        return self.headers((("", value),))[0][1]

    def scrub(self, text: str) -> str:
        """A message or traceback without the secrets met so far and without secret parameters."""
        return texts.message(self._met.in_message(text), self._masking)

    def holds_secret(self, value: Any) -> bool:
        """Whether something that is to be written, such as a watermark, holds a secret."""
        if isinstance(value, dict):
            return any(
                self.holds_secret(each)
                or (isinstance(each, str) and each and self._names.sort(str(name)) == "secret")
                for name, each in value.items()
            ) or any(self.holds_secret(name) for name in value)
        if isinstance(value, list | tuple):
            return any(self.holds_secret(each) for each in value)
        if not isinstance(value, str):
            return False
        masked = texts.message(self._met.in_text(value), self._masking)
        return self._met.in_body(masked.encode("utf-8", "surrogatepass")) != value.encode(
            "utf-8", "surrogatepass"
        )

    def _header(self, name: str, value: str) -> str:
        shown = self._header_value(name, name.lower(), value)
        if shown == value:
            _forget_some(self._plain)
            self._plain[name, value] = None
        return shown

    def _header_value(self, name: str, lowered: str, value: str) -> str:
        if lowered in _CREDENTIALS:
            return self._credential(value)
        if lowered in _REQUEST_COOKIES:
            return ";".join(self._cookie(part) for part in value.split(";"))
        if lowered in _RESPONSE_COOKIES:
            cookie, semicolon, attributes = value.partition(";")
            attributes = texts.header_text(attributes, self._masking)
            return f"{self._cookie(cookie)}{semicolon}{attributes}"
        if lowered in _CHALLENGES:
            value = _TOKEN68.sub(lambda match: match[1] + self.mask(match[2]), value)
        elif self._names.is_secret_header(lowered):
            return self._shown(value)
        return texts.header_text(value, self._masking)

    def _credential(self, value: str) -> str:
        scheme, space, rest = value.partition(" ")
        if not space or scheme.lower() not in _SCHEMES:
            return self._shown(value)
        credential = rest.strip()
        if scheme.lower() == "basic" and (pair := decoded_basic(credential)):
            self._shown(pair)
            self._shown(pair.partition(":")[2])
        for name, secret in _QUOTED.findall(credential) if "=" in credential else ():
            if self._names.sort(name) or name.lower() in ("response", "cnonce"):
                self._shown(secret)
        return f"{scheme} {self._shown(rest)}"

    def _cookie(self, part: str) -> str:
        name, equals, value = part.partition("=")
        if not equals:
            name, value = "", part
        meant = value.strip().strip('"')
        if not meant or (name and self._names.is_kept(name.strip())):
            return part
        masked = self.mask(meant)
        grip: Grip = "everywhere" if looks_random(meant) else "in messages"
        self._met.learn(meant, masked, grip, name.strip())
        indent = value[: len(value) - len(value.lstrip())] if not equals else ""
        return f"{indent}{name}{equals}{masked}"

    def _shown(self, secret: str) -> str:
        return self._show(secret, "secret", "")

    def _show(self, secret: str, sort: Sort, name: str) -> str:
        masked = self.mask(secret)
        if masked != secret:
            grip = "everywhere" if sort == "secret" else "in pairs"
            self._met.learn(secret, masked, grip, name)  # type: ignore[arg-type]
        return masked

    def _show_bare(self, secret: str, sort: Sort, name: str) -> str:
        masked = self._show(secret, sort, name)
        return MASK if sort == "secret" and masked else masked

    def _learn_environment(self) -> None:
        """Know the secrets of the environment: an extractor reads its tokens there."""
        for name, value in os.environ.items():
            if len(value) >= 8 and self._names.sort(name) and looks_random(value):
                self._met.learn(value, self.mask(value), "everywhere")


def scrubbed(text: str) -> str:
    """A text without the secrets that the latest runs of this process met; for log lines."""
    for redactor in list(_recent):
        text = redactor._met.in_message(text)
    return _recent[-1].scrub(text) if _recent else text


def holds_masks(headers: Headers, body: bytes) -> bool:
    """Whether something in an archived response was masked, so that it cannot be used again."""
    mark = f"{MASK}-"
    return any(mark in value for _, value in headers) or _MASKED_BYTES.search(body) is not None


def _forget_some(cache: dict[Any, Any]) -> None:
    if len(cache) > _CACHED:
        cache.clear()


def _as_bytes(secret: str) -> bytes:
    try:
        return secret.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return secret.encode("utf-8", "surrogatepass")
