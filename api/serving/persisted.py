"""Documents that are named instead of sent: by the SHA-256 of their text.

Trusted ones are files of the operator's, read when the server starts. Any other may be
introduced by whoever sends its text along with the digest once (what Apollo's clients call
automatic persisted queries), and is forgotten when there are too many.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from ..errors import RequestRefused
from ..measuring import MAX_CHARACTERS

_MAX_KEPT = 2_000_000
"""Characters of introduced documents that a process keeps."""

_lock = threading.Lock()
_kept: OrderedDict[str, str] = OrderedDict()
_kept_characters = 0


def resolve(text: object, extensions: object) -> object:
    """The document that a question means: its text, or the one that its extensions name.

    Raises `RequestRefused` for a digest nobody knows, or one that is not the text's, and for
    any document that is not trusted where only those are answered.
    """
    digest = _digest_in(extensions)
    found = _found(text, digest) if digest is not None else text
    is_asked = settings.GRAPHQL_PERSISTED_ONLY and isinstance(found, str)
    if is_asked and _digest_of(str(found)) not in trusted(settings.GRAPHQL_DOCUMENTS):
        raise RequestRefused(
            "Only the documents that this server was given are answered here. "
            "Ask its operator to add yours to GRAPHQL_DOCUMENTS.",
            extensions={"code": "PERSISTED_QUERY_ONLY"},
        )
    return found


@lru_cache(maxsize=4)
def trusted(folder: str) -> Mapping[str, str]:
    """The documents of a folder's `.graphql` files, by digest; those in folders below as well."""
    if not folder:
        return {}
    texts = (path.read_text("utf-8") for path in sorted(Path(folder).rglob("*.graphql")))
    # A file ends with a line break that the client that sends its text may not.
    return {_digest_of(each): each for text in texts for each in (text, text.strip())}


def forget() -> None:
    """Drop what was introduced, and read the trusted files again when next asked."""
    global _kept_characters
    with _lock:
        _kept.clear()
        _kept_characters = 0
    trusted.cache_clear()


def _digest_in(extensions: object) -> str | None:
    named: Any = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
    if not isinstance(named, dict):
        return None
    digest = named.get("sha256Hash")
    if named.get("version") != 1 or not isinstance(digest, str):
        raise RequestRefused("persistedQuery has version 1 and a sha256Hash.")
    return digest.lower()


def _found(text: object, digest: str) -> object:
    if isinstance(text, str) and text:
        if _digest_of(text) != digest:
            raise RequestRefused("sha256Hash is not the SHA-256 of this document.")
        _introduce(digest, text)
        return text
    with _lock:
        found = _kept.get(digest)
        if found is not None:
            _kept.move_to_end(digest)
    found = found or trusted(settings.GRAPHQL_DOCUMENTS).get(digest)
    if found is None:
        # The words and the code that clients wait for, to send the text as well.
        raise RequestRefused(
            "PersistedQueryNotFound", extensions={"code": "PERSISTED_QUERY_NOT_FOUND"}
        )
    return found


def _introduce(digest: str, text: str) -> None:
    global _kept_characters
    if settings.GRAPHQL_PERSISTED_ONLY or len(text) > MAX_CHARACTERS:
        return
    with _lock:
        if digest not in _kept:
            _kept_characters += len(text)
        _kept[digest] = text
        while _kept_characters > _MAX_KEPT:
            _, dropped = _kept.popitem(last=False)
            _kept_characters -= len(dropped)


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
