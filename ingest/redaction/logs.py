"""Log records without secrets: whatever logger they come from, at whatever level.

A filter on a logger does not see its children's records, and one on a handler not what another
handler writes; so records are scrubbed as they are made.
"""

import logging
import re
import traceback
from typing import Any

# They log headers before a run has met them; nothing says which of them are secrets.
_HTTP = ("httpx", "httpcore", "hpack", "h2", "h11")
_WHOLE_VALUE = re.compile(r"\b(return_value|exception|headers)=.*", re.DOTALL)


def scrub_log_records() -> None:
    """Scrub every log record that this process makes from now on. Calling it again does nothing."""
    make = logging.getLogRecordFactory()
    if getattr(make, "scrubs", False):
        return

    def scrubbing(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return scrub(make(*args, **kwargs))

    scrubbing.scrubs = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(scrubbing)


def scrub(record: logging.LogRecord) -> logging.LogRecord:
    """The record without secrets in its message and its traceback."""
    from ..redact import scrubbed

    try:
        message = record.getMessage()
    except (TypeError, ValueError):
        # A format that does not fit is reported, with its arguments, where the record is written.
        record.args = tuple(scrubbed(repr(each)) for each in _arguments(record))
        return record
    if record.name.partition(".")[0] in _HTTP:
        message = _WHOLE_VALUE.sub(r"\1=…", message)
    clean = scrubbed(message)
    if clean != message or record.name.partition(".")[0] in _HTTP:
        record.msg, record.args = clean, None
    if record.exc_info and record.exc_info[1] is not None:
        trace = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        if (clean := scrubbed(trace)) != trace:
            # A formatter writes `exc_text` where it is given, and needs no more.
            record.exc_text, record.exc_info = clean, None
    return record


def _arguments(record: logging.LogRecord) -> tuple[Any, ...]:
    return record.args if isinstance(record.args, tuple) else (record.args,)
