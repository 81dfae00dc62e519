"""Content encoding: answers compressed as the client reads them, where that is worth it."""

import gzip
from collections.abc import Callable

import brotli
import zstandard

SMALLEST = 1_000
"""Bytes of an answer below which a packet is a packet."""

# In the order in which they are preferred where a client has no preference: the quickest that
# makes an answer small comes first.
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda body: zstandard.ZstdCompressor(level=3).compress(body),
    "br": lambda body: bytes(brotli.compress(body, quality=4)),
    "gzip": lambda body: gzip.compress(body, compresslevel=5, mtime=0),
}


def chosen(accepted: str) -> str:
    """The encoding that an Accept-Encoding asks for; empty for none."""
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, _, parameter = part.strip().partition(";")
        weights[name.strip()] = _weight(parameter)
    rest = weights.get("*", 0.0)
    best, found = 0.0, ""
    for name in ENCODINGS:
        weight = weights.get(name, rest)
        if weight > best:
            best, found = weight, name
    # Identity is always acceptable unless refused; it is preferred only where it says so.
    return found if best >= weights.get("identity", 0.0) else ""


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0
