"""JSON as a client sends it, read strictly.

Python's reader lets through what is no JSON, and what nothing behind it can pass on: numbers
that are not finite, and halves of surrogate pairs, which no encoding writes.
"""

import json
from typing import Any, NoReturn


def read_json(body: str | bytes) -> Any:
    """What a text of JSON says. Raises `ValueError` for anything else."""
    text = body if isinstance(body, str) else body.decode(json.detect_encoding(body))
    try:
        found = _decoder.decode(text)
        # Only an escape can make a half of text that was decoded.
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse)
