"""From archived payloads to rows: parse, link, load, replay.

A source's transform needs `from reshape import Payload, Rows, transform` and its own models.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from raw_store.payload import Payload

from .registry import transform

if TYPE_CHECKING:
    from .models import Row

Rows: TypeAlias = "Iterator[Row]"
"""What a transform returns: rows, one after another."""

__all__ = ["Payload", "Rows", "transform"]
