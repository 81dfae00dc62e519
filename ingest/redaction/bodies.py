"""Secrets in bodies: forms, multipart, JSON (one document or many), XML, GraphQL.

The kind is told by the content type, and where that says nothing by the body itself. Everything
that is no secret stays as it was, byte for byte.
"""

import html
import json
import re

from .names import Sort
from .texts import Masking, assigned, known_shapes, message, query

_BOUNDARY = re.compile(r"boundary=\"?([^\";,\s]+)", re.IGNORECASE)
_PART_NAME = re.compile(
    rb"content-disposition:[^\r\n]*?;\s*name\*?=\"?([^\";\r\n]*)", re.IGNORECASE
)
_PART_TYPE = re.compile(rb"content-type:\s*([^\r\n]*)", re.IGNORECASE)
_LIKE_MULTIPART = re.compile(rb"--[^\r\n]{1,70}\r\n(?:[^\r\n]+\r\n)*content-disposition:", re.I)
_FORM = re.compile(r"[^\s<>{}\"]+=\S*")

_JSON = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\Z)|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_LITERALS = frozenset({"true", "false", "null"})

_INNER = r"(?P<secret>(?:[^<]|<!\[CDATA\[.*?\]\]>)+)"
_ELEMENT = re.compile(
    rf"(?P<start><(?:[\w.-]+:)?(?P<name>[\w.-]+)(?:\s[^<>]*)?>){_INNER}(?=</)", re.DOTALL
)
_NAMED_ELEMENT = re.compile(
    rf"(?P<start><[^<>]*\s(?:name|key|id)\s*=\s*[\"'](?P<name>[^\"']+)[\"'][^<>]*>){_INNER}(?=</)",
    re.DOTALL | re.IGNORECASE,
)
_MEMBER = re.compile(
    rf"(?P<start><name>\s*(?P<name>[^<]+?)\s*</name>\s*<value>\s*(?:<\w+>)?){_INNER}", re.DOTALL
)
_ATTRIBUTE = re.compile(
    r"(?P<start>\s(?P<name>[\w:.-]+)\s*=\s*(?P<quote>[\"']))(?P<secret>[^\"'<]+)(?=(?P=quote))"
)
_NAMED_VALUE = re.compile(
    r"(?P<start><[^<>]*\s(?:name|key|id)\s*=\s*[\"'](?P<name>[^\"']+)[\"'][^<>]*\svalue\s*=\s*[\"'])"
    r"(?P<secret>[^\"'<]+)",
    re.IGNORECASE,
)


def body(given: bytes, content_type: str | None, masking: Masking) -> bytes:
    """The body with its secrets masked."""
    if not given:
        return given
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind.startswith("multipart/") or _LIKE_MULTIPART.match(given):
        return multipart(given, content_type or "", masking)
    # Latin-1 gives every byte a character, and back: what is no text passes unharmed.
    text = given.decode("latin-1")
    is_utf8 = _is_utf8(given)
    if is_utf8:
        text = given.decode("utf-8")
    masked = _text(text, kind, masking)
    return given if masked == text else masked.encode("utf-8" if is_utf8 else "latin-1")


def multipart(given: bytes, content_type: str, masking: Masking) -> bytes:
    """The parts of a multipart body (RFC 7578), each by its name and its own content type."""
    found = _BOUNDARY.search(content_type)
    mark = b"--" + found[1].encode("latin-1", "replace") if found else given.split(b"\r\n", 1)[0]
    return mark.join(_multipart_part(part, masking) for part in given.split(mark))


def json_text(text: str, masking: Masking) -> str:
    """JSON documents (also many, one a line, and ones cut off), scalars of secret names masked.

    What stands below a secret name is a secret too.
    """
    parts: list[str] = []
    done = 0
    # Per open bracket: whether it is an object, and the sort of the name it stands under.
    stack: list[tuple[bool, Sort | None]] = []
    sort: Sort | None = None
    awaits_name = False
    name = ""
    # `["password", "…"]` and `{"name": "password", "value": "…"}`
    named: Sort | None = None
    for match in _JSON.finditer(text):
        token = match[0]
        if token in ("{", "["):
            stack.append((token == "{", sort))
            awaits_name = token == "{"
            named = None
        elif token in ("}", "]"):
            if stack:
                stack.pop()
            awaits_name = False
            sort = stack[-1][1] if stack else None
        elif token == ",":
            awaits_name = bool(stack) and stack[-1][0]
            sort = stack[-1][1] if stack else None
        elif token == ":":
            awaits_name = False
        elif awaits_name:
            name = _string(token)
            sort = stack[-1][1] or masking.names.sort(name)
            sort = sort or (named if name in ("value", "val", "v") else None)
        else:
            is_object = bool(stack) and stack[-1][0]
            said, named = named, named if is_object else None
            shown = _scalar(token, sort or (None if is_object else said), masking)
            is_name = shown == token and token.startswith('"')
            if is_name and (not is_object or name in ("name", "key", "field", "header")):
                named = "secret" if masking.names.sort(_string(token)) == "secret" else None
            if shown != token:
                parts += [text[done : match.start()], shown]
                done = match.end()
    return "".join([*parts, text[done:]]) if parts else text


def xml_text(text: str, masking: Masking) -> str:
    """XML and HTML: elements and attributes of secret names, also `<param name="password">`."""

    def replace(match: "re.Match[str]") -> str:
        sort = masking.names.sort(match["name"])
        secret = match["secret"]
        if sort is None or not secret.strip():
            return match[0]
        meant = html.unescape(re.sub(r"<!\[CDATA\[(.*?)\]\]>", r"\1", secret, flags=re.DOTALL))
        return f"{match['start']}{masking.shown(meant.strip(), sort)}"

    for pattern in (_ELEMENT, _NAMED_ELEMENT, _MEMBER, _NAMED_VALUE, _ATTRIBUTE):
        text = pattern.sub(replace, text)
    return known_shapes(text, masking)


def looks_like_json(text: str) -> bool:
    return text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[")


def looks_like_xml(text: str) -> bool:
    return text.lstrip("\ufeff \t\r\n")[:1] == "<"


def looks_like_form(text: str) -> bool:
    return _FORM.fullmatch(text.strip()) is not None


def _text(text: str, kind: str, masking: Masking) -> str:
    if kind == "application/x-www-form-urlencoded":
        return known_shapes(query(text, masking), masking)
    if looks_like_json(text) or "json" in kind:
        return known_shapes(json_text(text, masking), masking)
    if looks_like_xml(text) or kind.endswith(("/xml", "+xml")):
        return xml_text(text, masking)
    if looks_like_form(text):
        return known_shapes(query(text, masking), masking)
    return known_shapes(assigned(text, masking), masking)


def _multipart_part(part: bytes, masking: Masking) -> bytes:
    head, blank, value = part.partition(b"\r\n\r\n")
    name = _PART_NAME.search(head)
    if not blank or not name:
        return part
    end = b"\r\n" if value.endswith(b"\r\n") else b""
    value = value[: len(value) - len(end)]
    sort = masking.names.sort(name[1].decode("latin-1"))
    if sort is not None and value:
        meant = value.decode("utf-8" if _is_utf8(value) else "latin-1")
        return head + blank + masking.shown(meant, sort).encode("latin-1") + end
    kind = _PART_TYPE.search(head)
    if kind or looks_like_json(value[:64].decode("latin-1")):
        value = body(value, kind[1].decode("latin-1") if kind else None, masking)
    return head + blank + value + end


def _scalar(token: str, sort: Sort | None, masking: Masking) -> str:
    if sort is not None:
        meant = _string(token)
        if not meant or token in _LITERALS:
            return token
        return json.dumps(masking.shown(meant, sort))
    if not token.startswith('"') or len(token) < 8:
        return token
    if "=" not in token and ":" not in token and " " not in token:
        return token
    meant = _string(token)
    # A document, a query or an address may stand in a string.
    shown = json_text(meant, masking) if looks_like_json(meant) else message(meant, masking)
    return token if shown == meant else json.dumps(shown, ensure_ascii=False)


def _string(token: str) -> str:
    if not token.startswith('"'):
        return token
    try:
        return str(json.loads(token, strict=False))
    except json.JSONDecodeError:
        return token.strip('"')


def _is_utf8(given: bytes) -> bool:
    try:
        given.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
