"""JSON as a client sends it, read strictly.

Python's reader lets through halves of surrogate pairs, which no encoding writes and no database
takes, and raises one error for each of the ways in which a text may be no JSON.
"""

import json
from typing import Any


def read_json(body: str | bytes) -> Any:
    """What a text of JSON says. Raises `ValueError` for anything else."""
    text = body if isinstance(body, str) else body.decode(json.detect_encoding(body))
    try:
        found = json.loads(text)
        # Only an escape can make a half of text that was decoded.
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found
