"""Status lines (RFC 9112, section 4) and what a status says of the body (RFC 9110, section 15)."""

from ..case import Case, Row, answered, refused
from ..replies import BODY, GZIP, head, sized
from ..server import Then

RANGES = b"\r\n".join(
    [
        b"--b",
        b"Content-Range: bytes 0-1/9",
        b"",
        b"{}",
        b"--b",
        b"Content-Range: bytes 4-5/9",
        b"",
        b"[]",
        b"--b--",
        b"",
    ]
)


def status(name, line, *lines, body=BODY, **row):
    return answered(name, sized(body, *lines, status=line), body=body, **row)


def no_status(name, line, error="protocol: illegal status line"):
    return refused(name, sized(b"{}", status=line), Then.CLOSE, error=error)


CASES = [
    status("200 with another reason", "HTTP/1.1 200 Very Well, Thank You"),
    status("200 with an empty reason", "HTTP/1.1 200 "),
    status("200 without a reason", "HTTP/1.1 200"),
    status("200 with a reason beyond ASCII", b"HTTP/1.1 200 D\xe9j\xe0 vu"),
    status("200 with a reason of spaces", "HTTP/1.1 200 O  K"),
    status("201 with a location", "HTTP/1.1 201 Created", "Location: /new"),
    status("202", "HTTP/1.1 202 Accepted"),
    status("203", "HTTP/1.1 203 Non-Authoritative Information"),
    answered("204", head(status="HTTP/1.1 204 No Content"), body=b"", times=2, connections=1),
    answered(
        "204 with a body all the same",
        sized(BODY, status="HTTP/1.1 204 No Content"),
        body=b"",
        times=2,
        connections=2,
    ),
    status("205 with length 0", "HTTP/1.1 205 Reset Content", body=b""),
    status("205 with a body all the same", "HTTP/1.1 205 Reset Content"),
    status("206", "HTTP/1.1 206 Partial Content", "Content-Range: bytes 0-2159/9999"),
    status(
        "206 of several parts",
        "HTTP/1.1 206 Partial Content",
        "Content-Type: multipart/byteranges; boundary=b",
        body=RANGES,
    ),
    status("226", "HTTP/1.1 226 IM Used", "IM: feed"),
    status("299", "HTTP/1.1 299 Whatever"),
    answered(
        "304 to validators of nothing archived",
        head('ETag: "v1"', status="HTTP/1.1 304 Not Modified"),
        body=None,
        headers=(("ETag", '"v1"'),),
        times=2,
        connections=1,
    ),
    answered(
        "304 that says how long the body is",
        head("Content-Length: 2160", status="HTTP/1.1 304 Not Modified"),
        body=None,
        times=2,
        connections=1,
    ),
    Case(
        name="304 to the validators of what is archived",
        replies=(
            (sized(BODY, 'ETag: "v1"', "Last-Modified: Sun, 01 Mar 2026 12:00:00 GMT"),),
            (head('ETag: "v1"', status="HTTP/1.1 304 Not Modified"),),
        ),
        rows=(Row(body=BODY), Row(body=BODY, transferred=b"")),
        headers=(("If-None-Match", '"v1"'),),
        times=2,
    ),
    answered(
        "HEAD",
        sized(b"", "Content-Encoding: gzip", length=len(GZIP)),
        body=b"",
        method="HEAD",
        times=2,
        connections=1,
    ),
    answered(
        "HEAD, chunked",
        head("Transfer-Encoding: chunked"),
        body=b"",
        method="HEAD",
        times=2,
        connections=1,
    ),
    answered(
        "HEAD, answered with a body all the same",
        sized(BODY),
        body=b"",
        method="HEAD",
        times=2,
        connections=2,
    ),
    status("400", "HTTP/1.1 400 Bad Request"),
    status(
        "401", "HTTP/1.1 401 Unauthorized", 'WWW-Authenticate: Basic realm="x", charset="UTF-8"'
    ),
    status("404", "HTTP/1.1 404 Not Found"),
    status("410", "HTTP/1.1 410 Gone"),
    status("416", "HTTP/1.1 416 Range Not Satisfiable", "Content-Range: bytes */47", body=b""),
    status("418", "HTTP/1.1 418 I'm a teapot"),
    status("429 with Retry-After", "HTTP/1.1 429 Too Many Requests", "Retry-After: 1"),
    status("451", "HTTP/1.1 451 Unavailable For Legal Reasons"),
    status("500 with a body", "HTTP/1.1 500 Internal Server Error"),
    status("503", "HTTP/1.1 503 Service Unavailable", "Retry-After: 1"),
    status("599", "HTTP/1.1 599 Beyond"),
    status("999", "HTTP/1.1 999 Request denied"),
    answered(
        "100 first",
        b"HTTP/1.1 100 Continue\r\n\r\n" + sized(BODY),
        body=BODY,
    ),
    answered(
        "103 with early hints, twice",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" * 2 + sized(BODY),
        body=BODY,
    ),
    answered(
        "102 and 199 first",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 Wait\r\nX-A: 1\r\n\r\n" + sized(BODY),
        body=BODY,
    ),
    refused(
        "100 and then nothing",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        Then.CLOSE,
        error="disconnect: Server disconnected without sending a response",
    ),
    no_status("101 unasked", "HTTP/1.1 101 Switching Protocols", error="protocol: "),
    no_status("status of two digits", "HTTP/1.1 20 OK"),
    no_status("status of four digits", "HTTP/1.1 2000 OK"),
    no_status("status that is no number", "HTTP/1.1 abc OK"),
    no_status("status below 100", "HTTP/1.1 099 Low", error="protocol: "),
    no_status("no version", "200 OK"),
    no_status("version in lower case", "http/1.1 200 OK"),
    no_status("version 2 in words", "HTTP/2 200"),
    no_status("another protocol's status line", "ICY 200 OK"),
    refused(
        "garbage before the status line",
        b"garbage\r\n" + sized(b"{}"),
        error="protocol: illegal status line",
    ),
    refused("an empty line before the status line", b"\r\n" + sized(b"{}"), error="protocol: "),
    refused(
        "a body without a head",
        b"<html>old</html>\r\n\r\n",
        Then.CLOSE,
        error="protocol: illegal status line",
    ),
    refused(
        "another protocol",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        Then.CLOSE,
        error="protocol: illegal status line",
    ),
]
