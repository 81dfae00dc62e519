"""Secrets are masked before a payload leaves memory: none of them reaches the disk.

A masked value reads `redacted-` and sixteen hex digits: a digest of the secret keyed with the
installation's `SECRET_KEY`. Two fetches with the same secret show the same digits, and without
the key the digits say nothing.

What is masked, in requests and responses alike:

- `Authorization` and `Proxy-Authorization` keep their scheme, `Cookie` and `Set-Cookie` the
  cookies' names;
- headers whose name speaks of a secret (`X-Api-Key`, `X-Auth-Token`, …);
- user information in addresses, and query parameters whose name speaks of a secret, also where an
  address stands inside a header (`Location`, `Link`, `Referer`);
- fields of those names in form, multipart and JSON request bodies;
- the tokens in the answer of a token endpoint (RFC 6749, section 5.1). Every other response body
  is kept verbatim.
"""

import hashlib
import hmac
import re
from typing import Any
from urllib.parse import unquote_plus

import orjson

Headers = tuple[tuple[str, str], ...]

MASK = "redacted"

# Always a secret. These never tell two requests apart: a new token asks for the same thing.
_SECRET_NAMES = frozenset(
    [
        "access_token",
        "accesstoken",
        "api_key",
        "apikey",
        "api_secret",
        "api_token",
        "apitoken",
        "app_key",
        "app_secret",
        "appkey",
        "auth_token",
        "authtoken",
        "authorization",
        "bearer_token",
        "client_secret",
        "clientsecret",
        "consumer_secret",
        "credential",
        "credentials",
        "id_token",
        "jwt",
        "oauth_signature",
        "oauth_token",
        "pass",
        "passphrase",
        "passwd",
        "password",
        "private_key",
        "private_token",
        "pwd",
        "refresh_token",
        "secret",
        "secret_key",
        "secretkey",
        "session_token",
        "sessiontoken",
        "shared_secret",
        "sig",
        "sign",
        "signature",
        "subscription_key",
        "user_key",
        "x_amz_credential",
        "x_amz_security_token",
        "x_amz_signature",
        "x_api_key",
        "x_goog_credential",
        "x_goog_signature",
    ]
)
# Often a secret, sometimes a plain argument (`key=iron-ore`): masked, but still part of what tells
# two requests apart, or different pages would pass for one.
_AMBIGUOUS_NAMES = frozenset(
    ["auth", "code", "hash", "key", "pin", "session", "session_id", "sessionid", "sid", "token"]
)

_SECRET_HEADER = re.compile(
    r"auth(?!enticate|ority)|token|secret|passw|api-?key|access-?key|subscription-key|credential"
    r"|session|signature|^x-.*-key$|^key$|csrf|xsrf",
    re.IGNORECASE,
)
_SCHEME_HEADERS = frozenset({"authorization", "proxy-authorization"})
_PAIR = re.compile(r"(?P<start>[?&;#]|^)(?P<name>[^?&;=#\s<>\"',/]+)=(?P<value>[^&;#\s<>\"',]*)")
_USERINFO = re.compile(r"(?P<start>[a-z][a-z0-9+.-]*://)(?P<user>[^/?#\s@<>\"']+)@", re.IGNORECASE)
_MULTIPART = re.compile(
    rb"(?P<head>content-disposition:[^\r\n]*?;\s*name=\"(?P<name>[^\"]*)\"[^\r\n]*\r\n"
    rb"(?:[^\r\n]+\r\n)*\r\n)(?P<value>.*?)(?=\r\n--)",
    re.IGNORECASE | re.DOTALL,
)
_TOKEN_ANSWER_LIMIT = 64 * 1024
# Replacing a very short secret wherever it occurs would make a message unreadable.
_SCRUB_LENGTH = 4


class Redactor:
    """Masks secrets, and remembers in memory those it met so that messages can be scrubbed too."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._met: dict[str, str] = {}

    def mask(self, secret: str) -> str:
        """`redacted-` and the keyed digest of `secret`."""
        if not secret:
            return secret
        known = self._met.get(secret)
        if known is None:
            digest = hmac.new(self._key, secret.encode("utf-8", "surrogateescape"), hashlib.sha256)
            known = self._met[secret] = f"{MASK}-{digest.hexdigest()[:16]}"
        return known

    def url(self, url: str, *, for_key: bool = False) -> str:
        """The address without user information and secret parameters, otherwise as it was.

        With `for_key` the digest of a clear secret is left out: the same request with another
        token is still the same request.
        """
        base, mark, fragment = url.partition("#")
        head, question, query = base.partition("?")
        head = _USERINFO.sub(lambda m: f"{m['start']}{self._shown(m['user'], for_key)}@", head)
        query = self._pairs(query, for_key)
        # Some log-in flows hand the token over behind the hash.
        return f"{head}{question}{query}{mark}{self._pairs(fragment, for_key)}"

    def headers(self, headers: Headers) -> Headers:
        """The headers in their order, secret values masked."""
        return tuple((name, self._header(name.lower(), value)) for name, value in headers)

    def request_body(
        self, body: bytes | None, content_type: str | None, *, for_key: bool = False
    ) -> bytes | None:
        """The body of a request, with the secret fields of a form or a JSON document masked."""
        if not body:
            return body
        kind = (content_type or "").partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded":
            return self._pairs(body.decode("latin-1"), for_key).encode("latin-1")
        if kind == "multipart/form-data":
            return _MULTIPART.sub(lambda m: self._multipart_field(m, for_key), body)
        if kind.endswith(("/json", "+json")):
            return self._json(body, for_key)
        return body

    def response_body(self, body: bytes, content_type: str | None) -> bytes:
        """The body as it was; of a token endpoint's answer, with its tokens masked."""
        if len(body) > _TOKEN_ANSWER_LIMIT or b"access_token" not in body:
            return body
        if "json" not in (content_type or "").lower():
            return body
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            return body
        if not (isinstance(answer, dict) and isinstance(answer.get("access_token"), str)):
            return body
        return orjson.dumps(self._masked(answer, for_key=False))

    def scrub(self, text: str) -> str:
        """A message or traceback without the secrets met so far and without secret parameters."""
        for secret in sorted(self._met, key=len, reverse=True):
            if len(secret) >= _SCRUB_LENGTH:
                text = text.replace(secret, self._met[secret])
        text = _USERINFO.sub(lambda m: f"{m['start']}{self._shown(m['user'], False)}@", text)
        return re.sub(r"\?[^\s'\"<>]+", lambda m: "?" + self._pairs(m[0][1:], False), text)

    def _header(self, name: str, value: str) -> str:
        if name in _SCHEME_HEADERS:
            scheme, space, rest = value.partition(" ")
            return f"{scheme} {self.mask(rest)}" if space else self.mask(value)
        if name == "cookie":
            return "; ".join(self._cookie(part.strip()) for part in value.split(";"))
        if name == "set-cookie":
            cookie, semicolon, attributes = value.partition(";")
            return f"{self._cookie(cookie)}{semicolon}{attributes}"
        if _SECRET_HEADER.search(name):
            return self.mask(value)
        return self._inside(value) if "://" in value or "?" in value else value

    def _cookie(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        return f"{name}={self.mask(value)}" if equals else self.mask(pair)

    def _inside(self, value: str) -> str:
        value = _USERINFO.sub(lambda m: f"{m['start']}{self.mask(m['user'])}@", value)
        return self._pairs(value, for_key=False)

    def _pairs(self, text: str, for_key: bool) -> str:
        if "=" not in text:
            return text
        return _PAIR.sub(lambda match: self._pair(match, for_key), text)

    def _pair(self, match: "re.Match[str]", for_key: bool) -> str:
        sort = _sort_of_name(unquote_plus(match["name"]))
        if sort is None or not match["value"]:
            return match[0]
        shown = self._shown(match["value"], for_key and sort == "secret")
        # The decoded form is what an error message would quote.
        self.mask(unquote_plus(match["value"]))
        return f"{match['start']}{match['name']}={shown}"

    def _multipart_field(self, match: "re.Match[bytes]", for_key: bool) -> bytes:
        sort = _sort_of_name(match["name"].decode("latin-1"))
        if sort is None:
            return match[0]
        value = match["value"].decode("latin-1")
        return match["head"] + self._shown(value, for_key and sort == "secret").encode("latin-1")

    def _json(self, body: bytes, for_key: bool) -> bytes:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return body
        masked = self._masked(document, for_key)
        return body if masked == document else orjson.dumps(masked)

    def _masked(self, value: Any, for_key: bool) -> Any:
        if isinstance(value, dict):
            return {name: self._field(name, each, for_key) for name, each in value.items()}
        if isinstance(value, list):
            return [self._masked(each, for_key) for each in value]
        return value

    def _field(self, name: str, value: Any, for_key: bool) -> Any:
        sort = _sort_of_name(name)
        if sort is None or value is None or isinstance(value, bool | dict | list):
            return self._masked(value, for_key)
        return self._shown(str(value), for_key and sort == "secret")

    def _shown(self, secret: str, bare: bool) -> str:
        masked = self.mask(secret)
        return MASK if bare else masked


def _sort_of_name(name: str) -> str | None:
    """Whether a parameter of this name is a `secret`, `ambiguous`, or neither."""
    plain = name.lower().replace("-", "_")
    # auth[password], user.password and $password are passwords too.
    last = re.split(r"[\[\]:.$]+", plain.rstrip("]"))[-1]
    for candidate in (plain, last):
        if candidate in _SECRET_NAMES:
            return "secret"
        if candidate in _AMBIGUOUS_NAMES:
            return "ambiguous"
    return None
