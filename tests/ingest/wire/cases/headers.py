"""Header lines (RFC 9112, section 5): order, case, duplicates, bytes beyond ASCII, and mistakes."""

from ..case import answered, refused
from ..replies import BODY, head, sized

LONG = "x" * 60_000


def with_header(name, *lines, **row):
    return answered(name, sized(b"{}", *lines), body=b"{}", **row)


def no_header(name, line, error="protocol: illegal header line"):
    return refused(name, sized(b"{}", "X-Before: 1", line), error=error)


CASES = [
    with_header("header names in lower case", "x-lower: a", "etag-like: b"),
    with_header("header names in capitals", "X-UPPER: a", "CACHE-CONTROL: no-store"),
    with_header("header names in mixed case", "x-MiXeD: a", "X-mIxEd: b"),
    with_header("duplicate headers", "X-Dup: 1", "X-Other: 2", "X-Dup: 3", "x-dup: 1"),
    with_header("many cookies", *(f"Set-Cookie: c{n}={n * 1111}; Path=/{n}" for n in range(20))),
    with_header("non-ASCII header, UTF-8", "X-Name: Łódź".encode()),
    with_header("non-ASCII header, latin-1", b"X-Name: caf\xe9 \xff\x80"),
    with_header("header without value", "X-Empty:", "X-Blank:   "),
    with_header("header without a space", "X-Tight:value"),
    with_header("header with spaces and tabs around", "X-Loose: \t value \t "),
    with_header("header with tabs within", "X-Tabs: a\tb"),
    with_header("header with colons and quotes", 'X-Odd: "a: b", c=d; e="\\""'),
    with_header("header with every character a name may have", "!#$%&'*+-.^_`|~09aZ: 1"),
    with_header("very long header", f"X-Long: {LONG}"),
    with_header("many headers", *(f"X-Header-{n}: {n}" for n in range(1000))),
    with_header("one header a thousand times", *(["X-Same: 1"] * 1000)),
    with_header(
        "folded header",
        "X-Folded: one\r\n two\r\n\t  three",
        headers=(("X-Folded", "one two three"), ("Content-Length", "2")),
    ),
    with_header("header with control characters", b"X-Control: a\x01\x7fb"),
    with_header("header of a HTTP/2 gateway", "x-http2-stream-id: 3", "X-Forwarded-For: ::1"),
    answered(
        "lines that end in LF alone",
        head("X-One: 1", f"Content-Length: {len(BODY)}", end=b"\n") + BODY,
        body=BODY,
    ),
    answered(
        "lines that end one way and the other",
        b"HTTP/1.1 200 OK\nX-One: 1\r\nX-Two: 2\nContent-Length: 2\r\n\r\n{}",
        body=b"{}",
    ),
    refused(
        "headers longer than 100 kB",
        sized(b"{}", "X-Long: " + "x" * 200_000),
        error="protocol: the head is longer than 102,400 bytes",
    ),
    no_header("space before the colon", "X-Name : 1"),
    no_header("space in a header's name", "X Name: 1"),
    no_header("header without a colon", "no colon here"),
    no_header("header without a name", ": value"),
    no_header("non-ASCII in a header's name", "X-N\xe4me: 1"),
    no_header("NUL in a header", b"X-Null: a\0b"),
    no_header("a bare CR in a header", b"X-Return: a\rb"),
    refused(
        "a folded line before any header",
        head(" X-Folded: 1", "Content-Length: 2") + b"{}",
        error="protocol: continuation line at start of headers",
    ),
]
