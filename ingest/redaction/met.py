"""The secrets a run met, in memory only: to find them again where a server repeats them."""

import base64
import binascii
import html
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Literal
from urllib.parse import quote, quote_plus

Grip = Literal["everywhere", "in pairs", "in messages"]
"""Where a secret is looked for again. A plain argument that was masked for its name alone
(`key=iron-ore`) must not be torn out of a body: there it is looked for as `key=iron-ore` only."""

# Replacing a very short secret wherever it occurs would make a message unreadable, or data wrong.
_IN_MESSAGES = 4
_EVERYWHERE = 8
_WORD = re.compile(r"[A-Za-z]?[a-z]+|[A-Z]+|\d+")
_PLAIN = re.compile(r"[\w.~-]+", re.ASCII)
_SWITCH = re.compile(r"[A-Za-z]\d|\d[A-Za-z]")


class Met:
    """Secrets with what stands in their place: the newest ones, a bounded number."""

    def __init__(self, *, in_bodies: int = 64, in_messages: int = 2_048) -> None:
        self._limits = {"bodies": in_bodies, "texts": in_bodies, "messages": in_messages}
        self._known: dict[str, OrderedDict[str, str]] = {
            place: OrderedDict() for place in self._limits
        }
        self._texts: dict[str, tuple[tuple[str, str], ...]] = {}
        self._bytes: tuple[tuple[bytes, bytes], ...] | None = ()
        # Bodies are redacted in threads.
        self._lock = threading.Lock()

    def learn(self, secret: str, masked: str, grip: Grip, name: str = "") -> None:
        """Remember that `masked` stands for `secret`, the parameter `name` where that is told."""
        if len(secret) < _IN_MESSAGES:
            return
        with self._lock:
            if grip == "everywhere" or not _is_plain_word(secret):
                self._keep("messages", secret, masked)
            elif name:
                self._keep("messages", f"{name}={secret}", f"{name}={masked}")
            if grip == "everywhere" and _may_be_replaced(secret):
                self._keep("bodies", secret, masked)
                self._keep("texts", secret, masked)
            elif grip == "in pairs":
                if name:
                    self._keep("bodies", f"{name}={secret}", f"{name}={masked}")
                if looks_random(secret):
                    self._keep("texts", secret, masked)

    def in_body(self, body: bytes) -> bytes:
        """A body without the secrets that are looked for everywhere, and without known pairs."""
        for variant, masked in self._in_bytes():
            if variant in body:
                body = body.replace(variant, masked)
        return body

    def in_chunks(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """`in_body` for a body that comes in chunks, in constant memory."""
        longest = max((len(variant) for variant, _ in self._in_bytes()), default=1)
        held = b""
        for chunk in chunks:
            held = self.in_body(held + chunk)
            # What begins in the last bytes may go on in the next chunk.
            sure = max(len(held) - longest + 1, 0)
            yield held[:sure]
            held = held[sure:]
        yield held

    @property
    def looks_in_texts(self) -> bool:
        """Whether there is anything to look for in a header's value or an address."""
        return bool(self._known["texts"])

    def in_text(self, text: str) -> str:
        """A header's value or an address without the secrets that are looked for there."""
        return self._replaced(text, "texts")

    def in_message(self, text: str) -> str:
        """A message without any secret met."""
        return self._replaced(text, "messages")

    def _replaced(self, text: str, place: str) -> str:
        found = self._texts.get(place)
        if found is None:
            with self._lock:
                found = self._texts[place] = tuple(_longest_first(self._known[place]))
        for variant, masked in found:
            if variant in text:
                text = text.replace(variant, masked)
        return text

    def _keep(self, place: str, secret: str, masked: str) -> None:
        known = self._known[place]
        if secret in known:
            known.move_to_end(secret)
            return
        known[secret] = masked
        if len(known) > self._limits[place]:
            known.popitem(last=False)
        self._texts.pop(place, None)
        if place == "bodies":
            self._bytes = None

    def _in_bytes(self) -> tuple[tuple[bytes, bytes], ...]:
        found = self._bytes
        if found is None:
            with self._lock:
                found = self._bytes = tuple(
                    (encoded, masked.encode("latin-1", "replace"))
                    for variant, masked in _longest_first(self._known["bodies"])
                    for encoded in _encoded(variant)
                )
        return found


def variants(secret: str) -> list[str]:
    """A secret as it may be written: plain, percent-encoded once or twice, in JSON, in HTML, as
    Python shows it, and what a Basic credential says when decoded. Longest first."""
    if _PLAIN.fullmatch(secret):
        return [secret]
    plain = secret.encode("utf-8", "surrogatepass")
    once = quote(plain, safe="")
    found = {secret, once, quote_plus(plain), quote(plain, safe="/"), quote(once, safe="")}
    found |= {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), each) for each in set(found)}
    written = json.dumps(secret)[1:-1]
    found |= {written, written.replace("/", "\\/"), json.dumps(secret, ensure_ascii=False)[1:-1]}
    found |= {html.escape(secret), repr(secret)[1:-1]}
    return sorted(found, key=len, reverse=True)


def decoded_basic(credential: str) -> str | None:
    """`user:password` of a Basic credential (RFC 7617), or None."""
    try:
        text = base64.b64decode(credential, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    return text if ":" in text and text.isprintable() else None


def looks_random(text: str) -> bool:
    """Whether a text is long and mixed enough to be no word and no number."""
    return len(text) >= 16 and len(set(text)) >= 8 and len(_SWITCH.findall(text)) >= 2


def _is_plain_word(secret: str) -> bool:
    """Whether it is a word or a number that messages are full of: `true`, `1234`, a feed's name."""
    return len(secret) < 16 and _WORD.fullmatch(secret) is not None


def _may_be_replaced(secret: str) -> bool:
    """Whether a secret is too long to be met by chance; a word or a number must be longer."""
    return len(secret) >= (16 if _WORD.fullmatch(secret) else _EVERYWHERE)


def _longest_first(known: "OrderedDict[str, str]") -> Iterator[tuple[str, str]]:
    for secret in sorted(known, key=len, reverse=True):
        for variant in variants(secret):
            yield variant, known[secret]


def _encoded(text: str) -> set[bytes]:
    found = {text.encode("utf-8", "surrogatepass")}
    try:
        found.add(text.encode("latin-1"))
    except UnicodeEncodeError:
        return found
    return found
