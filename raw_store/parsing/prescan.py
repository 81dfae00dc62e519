"""The charset that markup declares of itself, in its first 1,024 bytes.

For HTML this is the WHATWG's "prescan a byte stream to determine its encoding", step by step; for
XML it is the declaration's `encoding`.
"""

import re

from .labels import name_of

PRESCAN_BYTES = 1024

_SPACE = b"\t\n\f\r "
_XML_ENCODING = re.compile(rb"encoding[\x00-\x20]*=[\x00-\x20]*([\"'])(.*?)\1", re.S)
_CONTENT_CHARSET = re.compile(
    r"charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r ;\"']+))", re.I
)
_TAG = re.compile(rb"</?[A-Za-z]")


def xml_charset(body: bytes) -> str | None:
    """The charset that an XML declaration names, by its name; None without a known one."""
    head = body[:PRESCAN_BYTES]
    if head.startswith(b"<\0?\0x\0"):
        return "utf-16le"
    if head.startswith(b"\0<\0?\0x"):
        return "utf-16be"
    if not head.startswith(b"<?xml"):
        return None
    found = _XML_ENCODING.search(head[: head.find(b">") + 1])
    return _readable_as_ascii(name_of(found[2].decode("latin-1"))) if found else None


def html_charset(body: bytes) -> str | None:
    """The charset that the first `<meta>` to declare one names; None without a known one."""
    head = body[:PRESCAN_BYTES]
    if b"charset" not in head.lower():
        return None
    at = 0
    while (at := head.find(b"<", at)) >= 0:
        if head.startswith(b"<!--", at):
            # The dashes that open a comment may be those that close it: `<!-->`.
            end = head.find(b"-->", at + 2)
            if end < 0:
                return None
            at = end + 3
        elif re.match(rb"<meta[\t\n\f\r /]", head[at : at + 6], re.I):
            attributes, at = _attributes(head, at + 5)
            if found := _declared(attributes):
                return found
        elif _TAG.match(head, at):
            while at < len(head) and head[at] not in _SPACE + b">":
                at += 1
            _, at = _attributes(head, at)
        elif head[at + 1 : at + 2] in (b"!", b"/", b"?"):
            at = head.find(b">", at)
            if at < 0:
                return None
        else:
            at += 1
    return None


def _declared(attributes: dict[str, str]) -> str | None:
    if "charset" in attributes:
        found = name_of(attributes["charset"])
    elif attributes.get("http-equiv") == "content-type":
        said = _CONTENT_CHARSET.search(attributes.get("content", ""))
        found = name_of(said[1] or said[2] or said[3] or "") if said else None
    else:
        return None
    return _readable_as_ascii(found)


def _attributes(head: bytes, at: int) -> tuple[dict[str, str], int]:
    """A tag's attributes in lower case, the first of each name, and where the tag ends."""
    found: dict[str, str] = {}
    while True:
        name, value, at = _attribute(head, at)
        if not name:
            return found, at
        found.setdefault(name, value)


def _attribute(head: bytes, at: int) -> tuple[str, str, int]:
    at = _past(head, at, _SPACE + b"/")
    start = at
    # A name may begin with an equals sign.
    while at < len(head) and head[at] not in _SPACE + b"/>" and (head[at] != 0x3D or at == start):
        at += 1
    name = _lower(head[start:at])
    after = _past(head, at, _SPACE)
    if not name or head[after : after + 1] != b"=":
        return name, "", at
    at = _past(head, after + 1, _SPACE)
    quote = head[at : at + 1]
    if quote in (b'"', b"'"):
        end = head.find(quote, at + 1)
        # Cut off by the end of the prescan: as if it were not there.
        return (name, _lower(head[at + 1 : end]), end + 1) if end >= 0 else ("", "", len(head))
    start = at
    while at < len(head) and head[at] not in _SPACE + b">":
        at += 1
    return name, _lower(head[start:at]), at


def _past(head: bytes, at: int, skipped: bytes) -> int:
    while at < len(head) and head[at] in skipped:
        at += 1
    return at


def _lower(text: bytes) -> str:
    return text.decode("latin-1").lower()


def _readable_as_ascii(name: str | None) -> str | None:
    """What a declaration that was read as ASCII can mean: it is not UTF-16, whatever it says."""
    return "utf-8" if name and name.startswith(("utf-16", "utf-32")) else name
