"""Where a body ends: Content-Length, chunks, the end of the connection, and all three done wrong
(RFC 9112, sections 6 and 7)."""

from ..case import Case, Row, answered, refused
from ..replies import BODY, GZIP, chunked, head, sized
from ..server import Then

CUT = "disconnect: peer closed connection without sending complete message body"
CHUNKS = (BODY[:1000], BODY[1000:1001], BODY[1001:])
HEAD_CHUNKED = head("Transfer-Encoding: chunked")

CASES = [
    answered("content-length", sized(BODY), body=BODY),
    answered("content-length 0", sized(b""), body=b""),
    answered("content-length with leading zeros", head("Content-Length: 0002") + b"{}", body=b"{}"),
    answered(
        "content-length too long",
        sized(BODY, length=len(BODY) + 10),
        Then.CLOSE,
        body=BODY,
        truncated="disconnect",
        error=CUT,
    ),
    answered(
        "content-length too long, nothing sent",
        sized(b"", length=10),
        Then.CLOSE,
        body=b"",
        truncated="disconnect",
        error=CUT,
    ),
    answered(
        "content-length too short",
        sized(BODY, length=len(BODY) - 10),
        body=BODY[:-10],
        times=2,
        connections=2,
    ),
    answered(
        "content-length twice, the same",
        head("Content-Length: 2", "X-Between: 1", "Content-Length: 2") + b"{}",
        body=b"{}",
    ),
    answered(
        "content-length as a list of the same",
        head("Content-Length: 2, 2") + b"{}",
        body=b"{}",
    ),
    refused(
        "content-length twice, not the same",
        head("Content-Length: 2", "Content-Length: 3") + b"{} ",
        error="protocol: conflicting Content-Length headers",
    ),
    refused(
        "content-length negative",
        head("Content-Length: -2") + b"{}",
        error="protocol: bad Content-Length",
    ),
    refused(
        "content-length with a sign",
        head("Content-Length: +2") + b"{}",
        error="protocol: bad Content-Length",
    ),
    refused(
        "content-length is no number",
        head("Content-Length: two") + b"{}",
        error="protocol: bad Content-Length",
    ),
    refused(
        "content-length empty",
        head("Content-Length:") + b"{}",
        error="protocol: bad Content-Length",
    ),
    answered(
        "content-length beyond any disk",
        head(f"Content-Length: {10**15}") + b"{}",
        Then.CLOSE,
        body=b"{}",
        truncated="disconnect",
        error=CUT,
    ),
    answered("chunked", chunked(*CHUNKS), body=BODY),
    answered(
        "chunked with extensions and trailers",
        chunked(
            *CHUNKS,
            extension=b';name="a;b";other',
            trailers=(b"X-Checksum: 1", b"Server-Timing: db;dur=53"),
            lines=("Trailer: X-Checksum",),
        ),
        body=BODY,
    ),
    answered("chunk sizes in upper case", chunked(*CHUNKS, size="%X"), body=BODY),
    answered("chunk sizes with leading zeros", chunked(*CHUNKS, size="%08x"), body=BODY),
    answered("chunks of one byte", chunked(*(bytes([b]) for b in BODY[:300])), body=BODY[:300]),
    answered("no chunk but the last", chunked(), body=b"", times=2, connections=1),
    answered(
        "a chunk of length zero in the middle",
        HEAD_CHUNKED + b"2\r\n{}\r\n0\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        body=b"{}",
        times=2,
        connections=2,
    ),
    answered(
        "chunked, encoded",
        chunked(GZIP[:7], GZIP[7:], lines=("Content-Encoding: gzip",)),
        body=BODY,
        transferred=GZIP,
    ),
    answered(
        "chunked, said in capitals",
        head("TRANSFER-ENCODING: CHUNKED") + b"2\r\n{}\r\n0\r\n\r\n",
        body=b"{}",
    ),
    answered(
        "chunked and content-length",
        head("Content-Length: 500", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
        body=b"{}",
    ),
    answered(
        "chunked, in HTTP/1.0",
        head("Transfer-Encoding: chunked", status="HTTP/1.0 200 OK") + b"2\r\n{}\r\n0\r\n\r\n",
        body=b"{}",
    ),
    answered(
        "chunk size that is no number",
        HEAD_CHUNKED + b"2\r\n{}\r\nxyz\r\nabc\r\n0\r\n\r\n",
        body=b"{}",
        truncated="unspecified",
        error="protocol: illegal chunk header",
    ),
    answered(
        "chunk size with a sign",
        HEAD_CHUNKED + b"2\r\n{}\r\n-3\r\nabc\r\n0\r\n\r\n",
        body=b"{}",
        truncated="unspecified",
        error="protocol: illegal chunk header",
    ),
    answered(
        "chunk size with 0x",
        HEAD_CHUNKED + b"2\r\n{}\r\n0x3\r\nabc\r\n0\r\n\r\n",
        body=b"{}",
        truncated="unspecified",
        error="protocol: illegal chunk header",
    ),
    answered(
        "chunk size longer than any",
        HEAD_CHUNKED + b"2\r\n{}\r\n" + b"f" * 30 + b"\r\nabc",
        body=b"{}",
        truncated="unspecified",
        error="protocol: illegal chunk header",
    ),
    answered(
        "chunk longer than its size",
        HEAD_CHUNKED + b"2\r\n{}garbage\r\n0\r\n\r\n",
        body=b"{}",
        truncated="unspecified",
        error="protocol: malformed chunk footer",
    ),
    answered(
        "chunked, cut off before the last chunk",
        HEAD_CHUNKED + b"2\r\n{}\r\n",
        Then.CLOSE,
        body=b"{}",
        truncated="disconnect",
        error="disconnect: peer closed connection without sending complete message body",
    ),
    answered(
        "chunked, cut off in a chunk",
        HEAD_CHUNKED + b"ff\r\n{",
        Then.CLOSE,
        body=b"{",
        truncated="disconnect",
        error="disconnect: peer closed connection without sending complete message body",
    ),
    answered(
        "chunked, cut off in the trailers",
        HEAD_CHUNKED + b"2\r\n{}\r\n0\r\nX-Trai",
        Then.CLOSE,
        body=b"{}",
        truncated="disconnect",
        error="disconnect: peer unexpectedly closed connection",
    ),
    answered(
        "chunked, malformed trailer",
        HEAD_CHUNKED + b"2\r\n{}\r\n0\r\nno colon\r\n\r\n",
        body=b"{}",
        truncated="unspecified",
        error="protocol: illegal header line",
    ),
    refused(
        "transfer-encoding gzip, chunked",
        head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
        error="protocol: Only Transfer-Encoding: chunked is supported",
    ),
    refused(
        "transfer-encoding identity",
        head("Transfer-Encoding: identity") + b"{}",
        Then.CLOSE,
        error="protocol: Only Transfer-Encoding: chunked is supported",
    ),
    refused(
        "transfer-encoding twice",
        head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        error="protocol: multiple Transfer-Encoding headers",
    ),
    answered("until the connection closes", head() + BODY, Then.CLOSE, body=BODY),
    answered(
        "HTTP/1.0 without length", head(status="HTTP/1.0 200 OK") + BODY, Then.CLOSE, body=BODY
    ),
    answered("HTTP/1.0 without a body", head(status="HTTP/1.0 200 OK"), Then.CLOSE, body=b""),
    answered(
        "HTTP/1.0 that keeps the connection",
        sized(BODY, "Connection: keep-alive", status="HTTP/1.0 200 OK"),
        body=BODY,
        times=2,
    ),
    answered("the connection is kept", sized(BODY), body=BODY, times=3, connections=1),
    answered(
        "the connection is closed after each",
        sized(BODY, "Connection: close"),
        Then.CLOSE,
        body=BODY,
        times=2,
        connections=2,
    ),
    answered(
        "the connection is closed without a word",
        sized(BODY),
        Then.CLOSE,
        body=BODY,
        times=2,
        connections=2,
    ),
    Case(
        name="a second response nobody asked for",
        replies=((sized(b"mine") + sized(b"another's"),), (sized(b"mine too"),)),
        rows=(Row(body=b"mine"), Row(body=b"mine too")),
        times=2,
        connections=2,
    ),
]
