"""Redirects (RFC 9110, 15.4): every hop is a row, with its cookie and its body."""

from ..case import Case, Row
from ..replies import BODY, head, sized


def hop(status, location, body=b"moved", *lines):
    return (sized(body, f"Location: {location}", *lines, status=f"HTTP/1.1 {status}"),)


END = (sized(BODY),)
LARGE = b"moved, at length\n" * 600_000


def redirected(name, *hops, rows=None, **case):
    return Case(
        name=name,
        replies=hops,
        rows=rows or (*(Row(body=b"moved"),) * (len(hops) - 1), Row(body=BODY)),
        **case,
    )


CASES = [
    redirected(
        "a cookie on each hop",
        hop("301 Moved Permanently", "/two", b"moved", "Set-Cookie: first=abcdef; Path=/"),
        hop("302 Found", "/three", b"moved", "Set-Cookie: second=ghijkl; Path=/; HttpOnly"),
        (sized(BODY, "Set-Cookie: third=mnopqr"),),
        asked=("GET / ", "GET /two ", "GET /three "),
    ),
    redirected(
        "301 of a POST",
        hop("301 Moved Permanently", "/two"),
        END,
        method="POST",
        content=b"a=1",
        asked=("POST / ", "GET /two "),
    ),
    redirected(
        "302 of a POST",
        hop("302 Found", "/two"),
        END,
        method="POST",
        content=b"a=1",
        asked=("POST / ", "GET /two "),
    ),
    redirected(
        "303 of a POST",
        hop("303 See Other", "/two"),
        END,
        method="POST",
        content=b"a=1",
        asked=("POST / ", "GET /two "),
    ),
    redirected(
        "307 of a POST",
        hop("307 Temporary Redirect", "/two"),
        END,
        method="POST",
        content=b"a=1",
        asked=("POST / ", "POST /two "),
    ),
    redirected(
        "308 of a POST",
        hop("308 Permanent Redirect", "/two"),
        END,
        method="POST",
        content=b"a=1",
        asked=("POST / ", "POST /two "),
    ),
    redirected(
        "relative addresses",
        hop("302 Found", "sub/page?x=1"),
        hop("302 Found", "../other#here"),
        hop("302 Found", "?y=2"),
        END,
        asked=("GET / ", "GET /sub/page?x=1 ", "GET /other ", "GET /other?y=2 "),
    ),
    redirected(
        "a redirect without a body",
        hop("302 Found", "/two", b""),
        END,
        rows=(Row(body=b""), Row(body=BODY)),
    ),
    redirected(
        "a redirect with a large body",
        hop("302 Found", "/two", LARGE),
        END,
        rows=(Row(body=LARGE), Row(body=BODY)),
    ),
    Case(
        name="a redirect to nowhere",
        replies=((sized(b"moved", status="HTTP/1.1 302 Found"),),),
        rows=(Row(body=b"moved"),),
    ),
    Case(
        name="300 with an address",
        replies=(hop("300 Multiple Choices", "/one"),),
        rows=(Row(body=b"moved"),),
        asked=("GET / ",),
    ),
    Case(
        name="a loop",
        replies=(hop("302 Found", "/"),),
        rows=(Row(body=b"moved"),) * 21,
    ),
    Case(
        name="an address that is none",
        replies=(hop("302 Found", "http://[::bad/"),),
        rows=(Row(body=b"moved"),),
    ),
    Case(
        name="an address of another protocol",
        replies=(hop("302 Found", "ftp://127.0.0.1:{port}/file"),),
        rows=(
            Row(body=b"moved"),
            Row(body=None, has_response=False, error="protocol: Request URL has an unsupported"),
        ),
    ),
    Case(
        name="a redirect and then silence",
        replies=(hop("302 Found", "/two"), (head(), b"")),
        rows=(Row(body=b"moved"), Row(body=b"", truncated="time", error="timeout: ")),
        timeout=2.0,
    ),
]
