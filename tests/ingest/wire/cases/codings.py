"""Content codings (RFC 9110, 8.4): each, several at once, cut off, mislabelled, and bombs."""

import gzip
import zlib

import brotli
import zstandard

from ..case import answered
from ..replies import BODY, GZIP, bare_deflate, chunked, head, sized
from ..server import Then

ZLIB = zlib.compress(BODY)
BARE = bare_deflate(BODY)
BROTLI = brotli.compress(BODY)
ZSTD = zstandard.compress(BODY)
STACKED = brotli.compress(GZIP)
MEMBERS = GZIP + gzip.compress(b"more", mtime=0)
NAMED = (
    b"\x1f\x8b\x08\x1c" + bytes(6) + b"\x04\x00ab\x00\x00" + b"name\0" + b"comment\0" + GZIP[10:]
)
FRAMES = zstandard.compress(BODY) + zstandard.compress(b"more")
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00note" + ZSTD
GARBAGE = GZIP + b"<!-- 3 ms -->"
WRONG_CHECKSUM = GZIP[:-8] + b"\0\0\0\0" + GZIP[-4:]
PLAIN = b"<html>not encoded at all</html>"

ZEROS = b"\0" * 100_000_000
GZIP_BOMB = gzip.compress(ZEROS, mtime=0)
ZSTD_BOMB = zstandard.compress(ZEROS)
BROTLI_BOMB = brotli.compress(ZEROS, quality=1)
NESTED_BOMB = gzip.compress(GZIP_BOMB, mtime=0)
TOO_LONG = gzip.compress(BODY * 100, mtime=0)
SWELLS = "expansion: decoded, the body is more than 200 times longer than the "


def coded(name, coding, encoded, *, body=BODY, **row):
    """An encoded body whose coding one header names."""
    sent = sized(encoded, f"Content-Encoding: {coding}")
    return answered(name, sent, body=body, transferred=encoded, **row)


CASES = [
    coded("gzip", "gzip", GZIP),
    coded("x-gzip", "x-gzip", GZIP),
    coded("gzip in capitals", "GZIP", GZIP),
    coded("deflate with its wrapper", "deflate", ZLIB),
    coded("deflate without its wrapper", "deflate", BARE),
    coded("brotli", "br", BROTLI),
    coded("zstd", "zstd", ZSTD),
    answered("identity", sized(BODY, "Content-Encoding: identity"), body=BODY),
    answered("coding none", sized(BODY, "Content-Encoding: none"), body=BODY),
    answered("coding empty", sized(BODY, "Content-Encoding:"), body=BODY),
    answered("coding utf-8", sized(BODY, "Content-Encoding: utf-8"), body=BODY),
    coded("two codings", "gzip, br", STACKED),
    coded(
        "three codings",
        "deflate,identity , gzip,zstd",
        zstandard.compress(gzip.compress(ZLIB, mtime=0)),
    ),
    answered(
        "two codings in two headers",
        sized(STACKED, "Content-Encoding: gzip", "X-Between: 1", "content-encoding: br"),
        body=BODY,
        transferred=STACKED,
    ),
    coded("an encoded body that is empty", "gzip", b"", body=b""),
    coded("gzip of nothing", "gzip", gzip.compress(b"", mtime=0), body=b""),
    coded("gzip with a name and a comment", "gzip", NAMED),
    coded("gzip of several members", "gzip", MEMBERS, body=BODY + b"more"),
    coded("zstd of several frames", "zstd", FRAMES, body=BODY + b"more"),
    coded("zstd with a skippable frame", "zstd", SKIPPABLE),
    coded("gzip with garbage behind", "gzip", GARBAGE, is_kept_encoded=True),
    coded("zstd with garbage behind", "zstd", ZSTD + b"garbage", is_kept_encoded=True),
    coded("gzip padded with zeros", "gzip", GZIP + bytes(512)),
    coded(
        "brotli with garbage behind",
        "br",
        BROTLI + b"garbage",
        body=None,
        error="decode: the body is not br: brotli: decoder failed",
    ),
    coded(
        "gzip with a wrong checksum",
        "gzip",
        WRONG_CHECKSUM,
        body=None,
        error="decode: the body is not gzip: Error -3 while decompressing data: incorrect data",
    ),
    coded(
        "gzip cut off by the server",
        "gzip",
        GZIP[:-20],
        body=zlib.decompressobj(wbits=31).decompress(GZIP[:-20]),
        error="decode: the body is not gzip: it ends too early",
    ),
    coded(
        "zstd cut off by the server",
        "zstd",
        ZSTD[:-9],
        body=None,
        error="decode: the body is not zstd: it ends too early",
    ),
    answered(
        "gzip, the connection cut",
        sized(GZIP[:-20], "Content-Encoding: gzip", length=len(GZIP)),
        Then.CLOSE,
        body=zlib.decompressobj(wbits=31).decompress(GZIP[:-20]),
        transferred=GZIP[:-20],
        truncated="disconnect",
        error="disconnect: peer closed connection",
    ),
    answered(
        "gzip with the length of what it holds",
        sized(GZIP, "Content-Encoding: gzip", length=len(BODY)),
        Then.CLOSE,
        body=BODY,
        transferred=GZIP,
        truncated="disconnect",
        error="disconnect: peer closed connection",
    ),
    *(
        coded(
            f"{coding} that is not",
            coding,
            PLAIN,
            body=None,
            error=f"decode: the body is not {coding}: ",
        )
        for coding in ("gzip", "deflate", "br", "zstd")
    ),
    coded(
        "gzip said twice of one",
        "gzip, gzip",
        GZIP,
        body=None,
        error="decode: the body is not gzip",
    ),
    coded(
        "a coding nobody knows",
        "compress",
        b"\x1f\x9d\x90{}",
        body=None,
        error="decode: content coding 'compress' is not known (known: br, deflate, gzip",
    ),
    coded(
        "a coding nobody knows among known ones",
        "gzip, aws-chunked",
        GZIP,
        body=None,
        error="decode: content coding 'aws-chunked' is not known",
    ),
    answered(
        "a gzip file that is not encoded",
        sized(GZIP, "Content-Type: application/gzip"),
        body=GZIP,
    ),
    coded("a gzip file, encoded", "gzip", gzip.compress(GZIP, mtime=0), body=GZIP),
    answered(
        "gzip in chunks until the last byte",
        chunked(*(GZIP[at : at + 1] for at in range(len(GZIP))), lines=("Content-Encoding: gzip",)),
        body=BODY,
        transferred=GZIP,
    ),
    answered(
        "gzip until the connection closes",
        head("Content-Encoding: gzip") + GZIP,
        Then.CLOSE,
        body=BODY,
        transferred=GZIP,
    ),
    coded("a gzip bomb", "gzip", GZIP_BOMB, body=None, error=SWELLS),
    coded("a zstd bomb", "zstd", ZSTD_BOMB, body=None, error=SWELLS),
    coded("a brotli bomb", "br", BROTLI_BOMB, body=None, error=SWELLS),
    coded("a gzip bomb in gzip", "gzip, gzip", NESTED_BOMB, body=None, error=SWELLS),
    coded(
        "decoded, longer than the limit",
        "gzip",
        TOO_LONG,
        body=None,
        error="expansion: decoded, the body is longer than 100000 bytes",
        max_body=100_000,
    ),
]
