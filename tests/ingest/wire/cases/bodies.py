"""Bodies: kept byte for byte, whatever the headers say they are, and however many they are."""

import zstandard

from ..case import answered
from ..replies import BODY, blocks, chunked, sized

EVERY_BYTE = bytes(range(256)) * 3
LARGE = blocks(1_000_000) * 50
LARGE_ZSTD = zstandard.compress(LARGE, level=1)


def typed(name, body, *content_type):
    return answered(
        name, sized(body, *(f"Content-Type: {each}" for each in content_type)), body=body
    )


CASES = [
    typed("no content-type", BODY),
    typed("a content-type that is none", BODY, "what;;;ever=="),
    typed("two content-types", BODY, "text/html", "application/json"),
    typed("JSON said to be HTML", BODY, "text/html"),
    typed("UTF-8 said to be latin-1", BODY, "text/plain; charset=iso-8859-1"),
    typed("latin-1 said to be UTF-8", "Déjà vu".encode("latin-1"), "text/plain; charset=utf-8"),
    typed("an unknown charset", BODY, "text/plain; charset=klingon"),
    typed("UTF-8 with a byte order mark", b"\xef\xbb\xbf" + BODY, "text/plain"),
    typed("UTF-16, little end first", b"\xff\xfe" + "Łódź".encode("utf-16-le"), "text/plain"),
    typed("UTF-16, big end first", b"\xfe\xff" + "Łódź".encode("utf-16-be"), "text/csv"),
    typed("a byte order mark alone", b"\xef\xbb\xbf", "text/plain"),
    typed("NUL in the body", b'{"a": "\0"}\0\0', "application/json"),
    typed("every byte there is", EVERY_BYTE, "application/octet-stream"),
    typed("line ends of all kinds", b"a\r\nb\nc\rd\r\n\r\n\n", "text/csv"),
    typed("one byte", b"0", "application/json"),
    typed("a response within a response", sized(BODY), "message/http"),
    answered("50 MB", sized(LARGE), body=LARGE),
    answered(
        "50 MB, encoded",
        sized(LARGE_ZSTD, "Content-Encoding: zstd"),
        body=LARGE,
        transferred=LARGE_ZSTD,
    ),
    answered("12 MB in chunks", chunked(*[LARGE[:1_000_000]] * 12), body=LARGE[:12_000_000]),
    answered(
        "as long as the limit", sized(LARGE[:100_000]), body=LARGE[:100_000], max_body=100_000
    ),
    answered(
        "longer than the limit",
        sized(LARGE[:100_001]),
        body=LARGE[:100_000],
        truncated="length",
        error="length: the body is longer than 100000 bytes (max_body=)",
        max_body=100_000,
    ),
]
