"""Rows restored from the records of this archive's own exports, column by column.

A file may be anyone's: what its metadata says is believed only where the bytes agree.
"""

from dataclasses import replace

from ..decode import decode
from ..payload import Headers, Payload
from ..spool import Spool
from .arrivals import LONGEST_BODY, SCRATCH
from .http import unhide
from .warc_fields import Extra, FieldsInvalid
from .warc_files import Content, digest_of, size_of
from .warc_groups import Group, Part


def restored_row(group: Group, columns: Payload, extra: Extra) -> Payload:
    """The row that an export's records hold. Raises `FieldsInvalid` when they do not agree."""
    main, request = group.main, group.parts.get("request")
    hidden = frozenset(extra.hidden)
    headers: Headers = ()
    if extra.headers is not None:
        headers = extra.headers
    elif main and main.head:
        headers = unhide(main.head.headers, hidden)
    request_headers: Headers = request.head.headers if request and request.head else ()
    if extra.request_headers is not None:
        request_headers = extra.request_headers
    row = replace(
        columns,
        headers=headers,
        request_headers=request_headers,
        request_body=_as_bytes(request) if extra.has_request_body else None,
    )
    if extra.block is not None:
        if main is None:
            raise FieldsInvalid("the record with its body is missing")
        row = _with_bytes(row, main.content, extra, group.parts.get("conversion"))
    if row.payload_id == row.fetch_id and not row.has_body:
        raise FieldsInvalid("its body is missing")
    return row


def _as_bytes(part: Part | None) -> bytes:
    if part is None:
        return b""
    return part.content.read() if isinstance(part.content, Spool) else part.content


def _with_bytes(row: Payload, content: Content, extra: Extra, conversion: Part | None) -> Payload:
    body: Content | None = content if extra.block == "body" else None
    if extra.block == "encoded_body":
        if row.encoded_digest is not None and digest_of(content) != row.encoded_digest:
            raise FieldsInvalid("encoded_digest is not that of its bytes")
        row = (
            replace(row, spooled_encoded=content)
            if isinstance(content, Spool)
            else replace(row, encoded_body=content)
        )
        if extra.body == "decoded":
            body = decode(content, row.content_encoding, LONGEST_BODY, spool=SCRATCH).body
        elif extra.body is not None:
            if conversion is None:
                raise FieldsInvalid("the record with its decoded body is missing")
            body = conversion.content
    if body is None:
        return row
    if digest_of(body) != row.body_digest or row.payload_id != row.fetch_id:
        raise FieldsInvalid("body_digest is not that of its body")
    row = replace(row, body_size=size_of(body))
    return replace(row, spooled_body=body) if isinstance(body, Spool) else replace(row, body=body)
