"""Secrets in texts: addresses, queries and forms, headers' values, messages.

Everything that is no secret stays as it was, byte for byte.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from .names import Names, Sort, shapes_in

Show = Callable[[str, Sort, str], str]
"""What stands in place of a secret, given the secret as it is meant, its sort, and its name."""
Patterns = Sequence["re.Pattern[str]"]

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s<>\"]+", re.IGNORECASE)
# Greedy: a password may hold an @ itself.
_USERINFO = re.compile(r"(?P<start>[a-z][a-z0-9+.-]*://)(?P<secret>[^/?#\s<>\"]+)@", re.IGNORECASE)
_RAW_USERINFO = re.compile(r"(?P<start>^//)(?P<secret>[^/?#\s<>\"]+)@")
_MATRIX = re.compile(r"(?P<start>;)(?P<name>[^;=/?#]+)=(?P<secret>[^;/?#]+)")
_PAIR = re.compile(
    r"(?P<start>[?;#&]|^|(?<=[\s,(]))(?P<name>[^?&;=#\s<>\"',/]+)=(?P<secret>[^&\s<>\"]+)"
)
# The same inside an address that is itself a parameter's value, percent-encoded once or more often:
# a value goes on until a separator of its own depth.
_NESTED = re.compile(
    r"(?P<start>%(?:25)*(?:3F|26|23|3B)|^)(?P<name>(?:[^%&=?#;\s<>\"'/]|%(?:25)*(?:5B|5D|2E|5F|2D))+?)"
    r"%(?P<depth>(?:25)*)3D(?P<secret>(?:[^%&#\s<>\"]|%(?!(?:(?P=depth))?(?:26|23)))+)",
    re.IGNORECASE,
)
_NESTED_USERINFO = re.compile(
    r"(?P<start>%(?P<depth>(?:25)*)3A%(?P=depth)2F%(?P=depth)2F)"
    r"(?P<secret>(?:[^%/?#&\s<>\"]|%(?!(?P=depth)(?:2F|3F|23|40)))+)(?P<end>%(?P=depth)40)",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    r"(?P<name>[\w$.-]{2,})(?P<sign>\\?[\"']?\s*[:=]\s*)(?P<quote>\\?[\"'])(?P<secret>.*?)(?P=quote)",
    re.DOTALL,
)
_CREDENTIAL = re.compile(r"\b(Bearer|Basic|Negotiate) ([\w.~+/=-]{8,})")
# Libraries quote what they could not read; it may be a secret that nobody has met yet.
_QUOTED_INPUT = re.compile(
    r"bytearray\(b(?:'(.*?)'|\"(.*?)\")\)"
    r"|(?:Invalid port|[Ii]llegal (?:header (?:name|value|line)|status line|chunk header)"
    r"|Illegal (?:method|address)|malformed chunk footer|bad Content-Length"
    r"|chunked is supported, not):? "
    r"b?(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")"
)
_TUPLE = re.compile(
    r"(?P<start>(?P<quote>[\"'])(?P<name>[\w-]{2,})(?P=quote),\s*b?(?P<open>[\"']))"
    r"(?P<secret>[^\"']+)(?=(?P=open))"
)
_LINE = re.compile(r"(?P<start>\b(?P<name>[\w.-]{3,}): +)(?P<secret>[^\s\"',;{\[]{4,})")


@dataclass(frozen=True, slots=True)
class Masking:
    """What is a secret, and what to show in its place."""

    names: Names
    show: Show
    patterns: Patterns = ()
    """A feed's own; a group in one is the secret, without a group all that it matches."""
    path_patterns: Patterns = ()

    def shown(self, secret: str, sort: Sort, name: str = "") -> str:
        return self.show(secret, sort, name) if secret else secret


def address(text: str, masking: Masking) -> str:
    """An address: user information, path, query and fragment."""
    base, mark, fragment = text.partition("#")
    head, question, rest = base.partition("?")
    if "@" in head:
        head = _USERINFO.sub(lambda m: _userinfo(m, masking), head)
        head = _RAW_USERINFO.sub(lambda m: _userinfo(m, masking), head)
    if ";" in head:
        head = _MATRIX.sub(lambda m: _pair(m, masking, f"{m['start']}{m['name']}="), head)
    if "%" in head:
        head = _nested(head, masking)
    for pattern in masking.path_patterns:
        head = _groups(pattern.finditer(head), head, masking)
    # Some log-in flows hand the token over behind the hash.
    whole = f"{head}{question}{query(rest, masking)}{mark}{query(fragment, masking)}"
    return known_shapes(whole, masking)


def query(text: str, masking: Masking) -> str:
    """`name=value` pairs with `&` between them: a query, a fragment, a form."""
    if "=" not in text and "%" not in text:
        return text
    return "&".join([_part(part, masking) for part in text.split("&")])


def header_text(text: str, masking: Masking, *, is_message: bool = False) -> str:
    """The value of a header that may hold addresses."""
    if "://" in text:
        text = _ADDRESS.sub(lambda m: address(m[0], masking), text)
    if "@" in text:
        text = _RAW_USERINFO.sub(lambda m: _userinfo(m, masking), text)
    if "=" in text:
        text = _PAIR.sub(lambda m: _pair(m, masking, f"{m['start']}{m['name']}="), text)
    if "%" in text:
        text = _nested(text, masking)
    if "Bearer " in text or "Basic " in text or "Negotiate " in text:
        text = _CREDENTIAL.sub(lambda m: f"{m[1]} {masking.shown(m[2], 'secret')}", text)
    if '"' in text and (":" in text or "=" in text):
        text = assigned(text, masking, is_message=is_message)
    return known_shapes(text, masking)


def message(text: str, masking: Masking) -> str:
    """A message, a traceback, a log line: addresses, credentials, and `password='…'`."""
    text = header_text(text, masking, is_message=True)
    text = _groups(_QUOTED_INPUT.finditer(text), text, masking)
    return assigned(text, masking, is_message=True)


def assigned(text: str, masking: Masking, *, is_message: bool = False) -> str:
    """`name: "value"`, `name = 'value'`, `('name', 'value')` and `name: value`, as in GraphQL,
    JSON, Python and plain text."""

    def replace(match: "re.Match[str]") -> str:
        sort = masking.names.sort(match["name"])
        # A message may well say that a row has code='b'.
        is_plain = is_message and sort == "ambiguous" and len(match["secret"]) < 8
        if sort is None or is_plain:
            return match[0]
        shown = masking.shown(match["secret"], sort)
        return f"{match['name']}{match['sign']}{match['quote']}{shown}{match['quote']}"

    def replace_sure(match: "re.Match[str]") -> str:
        is_scheme = match["secret"].lower() in ("bearer", "basic", "digest", "negotiate", "token")
        if is_scheme or masking.names.sort(match["name"]) != "secret":
            return match[0]
        return f"{match['start']}{masking.shown(match['secret'], 'secret')}"

    if "'" in text or '"' in text:
        text = _ASSIGNED.sub(replace, text)
        text = _TUPLE.sub(replace_sure, text)
    return _LINE.sub(replace_sure, text) if ": " in text else text


def known_shapes(text: str, masking: Masking) -> str:
    """What is a secret by its looks, and what a feed's own patterns match."""
    text = _groups(shapes_in(text), text, masking)
    for pattern in masking.patterns:
        text = _groups(pattern.finditer(text), text, masking)
    return text


def unquoted(text: str, *, plus: bool = False) -> str:
    """Percent-decoded text; what is not UTF-8 is kept apart, so two secrets stay two."""
    if "%" not in text and not (plus and "+" in text):
        return text
    text = text.replace("+", " ") if plus else text
    return unquote_to_bytes(text.encode("utf-8", "surrogatepass")).decode(
        "utf-8", "surrogateescape"
    )


def _part(part: str, masking: Masking) -> str:
    name, equals, value = part.partition("=")
    if equals and value:
        sort = masking.names.sort(unquoted(name, plus=True))
        if sort is not None:
            return f"{name}={masking.shown(unquoted(value, plus=True), sort, name)}"
        if "=" in value or "%" in value or "@" in value or "{" in value:
            return f"{name}={_value(value, masking)}"
        return part
    return _value(part, masking)


def _value(value: str, masking: Masking) -> str:
    if "://" in value:
        return address(value, masking)
    if "{" in value or "%7B" in value or "%7b" in value:
        meant = unquoted(value, plus=True)
        shown = assigned(meant, masking)
        if shown != meant:
            # The one place that is written anew: JSON in a parameter.
            return quote(shown, safe="") if "%" in value else shown
    if "=" in value:
        value = _PAIR.sub(lambda m: _pair(m, masking, f"{m['start']}{m['name']}="), value)
    return _nested(value, masking) if "%" in value else value


def _nested(text: str, masking: Masking) -> str:
    text = _NESTED_USERINFO.sub(lambda m: _userinfo(m, masking), text)
    return _NESTED.sub(lambda m: _nested_pair(m, masking), text)


def _nested_pair(match: "re.Match[str]", masking: Masking) -> str:
    # One depth for the address that holds the pair, one for the pair's own encoding.
    depth = len(match["depth"]) // 2 + 2
    name, secret = match["name"], match["secret"]
    for _ in range(depth):
        name, secret = unquoted(name), unquoted(secret)
    sort = masking.names.sort(name)
    if sort is None:
        return match[0]
    start = match[0][: match.start("secret") - match.start()]
    return f"{start}{masking.shown(secret, sort)}"


def _pair(match: "re.Match[str]", masking: Masking, start: str) -> str:
    sort = masking.names.sort(unquoted(match["name"], plus=True))
    # A message may well say code=404.
    is_plain = sort == "ambiguous" and not match["start"] and len(match["secret"]) < 8
    if sort is None or is_plain:
        value = match["secret"]
        if "=" not in value:
            return match[0]
        inner = _PAIR.sub(lambda m: _pair(m, masking, f"{m['start']}{m['name']}="), value)
        return match[0][: len(match[0]) - len(value)] + inner
    return f"{start}{masking.shown(unquoted(match['secret'], plus=True), sort, match['name'])}"


def _userinfo(match: "re.Match[str]", masking: Masking) -> str:
    secret = unquoted(match["secret"])
    if password := secret.partition(":")[2]:
        masking.shown(password, "secret")
    end = match.groupdict().get("end", "@")
    return f"{match['start']}{masking.shown(secret, 'secret')}{end}"


def _groups(matches: Iterable["re.Match[str]"], text: str, masking: Masking) -> str:
    """The text with the groups of each match masked, or all of a match that has none."""
    parts, done = [], 0
    for match in matches:
        spans = [match.span(at) for at in range(1, (match.re.groups or 0) + 1)]
        for start, end in sorted(span for span in spans if span != (-1, -1)) or [match.span()]:
            if start < done or start == end:
                continue
            parts += [text[done:start], masking.shown(unquoted(text[start:end]), "secret")]
            done = end
    return "".join([*parts, text[done:]]) if parts else text
