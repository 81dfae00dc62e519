"""Questions as they come over HTTP: a POST of JSON, or a GET of parameters, and nothing else."""

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from ..bodies import read_json
from .persisted import resolve

MAX_BODY = 1_000_000
"""Bytes of a question."""

Scope = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: a document, which of its operations, and with which variables."""

    text: str
    variables: Mapping[str, Any]
    operation: str | None

    def body(self) -> bytes:
        """The same question as the JSON of a POST."""
        return json.dumps(
            {
                "query": self.text,
                "variables": self.variables,
                "operationName": self.operation,
            }
        ).encode()


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """A request's headers by name, the last one of each."""
    return dict(scope["headers"])


def is_json(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a body is of the one type that no page of another site sends unasked."""
    kind = headers.get(b"content-type", b"").partition(b";")[0]
    return kind.strip().lower() == b"application/json"


def posted(body: bytes) -> Question | None:
    """The question in a body; null for one that is none. Raises `RequestRefused`."""
    try:
        # As Django's view reads it: orjson would make doubles of large integers.
        asked = read_json(body)
    except ValueError:
        return None
    return _question(asked) if isinstance(asked, dict) else None


def in_address(query: bytes) -> Question | None:
    """The question in an address; null for one that is none. Raises `RequestRefused`."""
    try:
        given = parse_qs(query.decode("ascii"), keep_blank_values=True, errors="strict")
        asked: dict[str, Any] = {name: values[-1] for name, values in given.items()}
        for name in ("variables", "extensions"):
            if name in asked:
                asked[name] = read_json(asked[name])
    except ValueError:
        return None
    return _question(asked)


def _question(asked: Mapping[str, Any]) -> Question | None:
    text = resolve(asked.get("query"), asked.get("extensions"))
    variables, operation = asked.get("variables"), asked.get("operationName")
    if not isinstance(text, str) or not text:
        return None
    if not isinstance(variables, dict | None) or not isinstance(operation, str | None):
        return None
    if not isinstance(asked.get("extensions"), dict | None):
        return None
    return Question(text=text, variables=variables or {}, operation=operation or None)
