"""Content decoding: every coding and chain, bodies cut short, bodies made to swell."""

import gzip
import os
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ingest.decode import Decoded, decode

BODY = b'{"features": [' + b'{"id": "us7000abcd", "mag": 4.5},' * 500 + b"{}]}"
LIMIT = 10_000_000


def bare_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(body) + compressor.flush()


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    # The best quality takes long for the large bodies here.
    "br": lambda body: brotli.compress(body, quality=1),
    "zstd": zstandard.compress,
}


@given(body=st.binary(max_size=5000), names=st.lists(st.sampled_from(sorted(ENCODERS)), max_size=3))
def test_any_chain_of_codings_is_undone(body, names):
    encoded = body
    for name in names:
        encoded = ENCODERS[name](encoded)

    assert decode(encoded, ", ".join(names), LIMIT) == Decoded(body=body)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_body_larger_than_every_step_is_decoded_whole(name):
    body = os.urandom(300_000) * 8

    assert decode(ENCODERS[name](body), name, LIMIT).body == body


def test_deflate_without_its_wrapper_is_read_too():
    assert decode(bare_deflate(BODY), "deflate", LIMIT) == Decoded(body=BODY)


def test_several_members_or_frames_are_one_body():
    members = gzip.compress(BODY) + gzip.compress(b"more") + b"\0" * 8
    frames = zstandard.compress(BODY) + zstandard.compress(b"more")

    assert decode(members, "gzip", LIMIT).body == BODY + b"more"
    assert decode(frames, "zstd", LIMIT).body == BODY + b"more"


@pytest.mark.parametrize("header", [None, "", "identity", "none", "UTF-8", " , identity"])
def test_a_header_that_names_no_coding_changes_nothing(header):
    assert decode(BODY, header, LIMIT) == Decoded(body=BODY)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_body_cut_short_gives_what_could_be_read_and_says_so(name):
    body = os.urandom(500_000)
    encoded = ENCODERS[name](body)

    decoded = decode(encoded[: len(encoded) // 2], name, LIMIT)

    assert decoded.error == f"the body is not {name}: it ends too early"
    assert body.startswith(decoded.body)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_body_that_is_not_what_it_says_is_an_error(name):
    decoded = decode(b"<html>not encoded at all</html>", name, LIMIT)

    assert decoded.error
    assert decoded.error.startswith(f"the body is not {name}: ")


def test_an_unknown_coding_is_named_with_the_known_ones():
    decoded = decode(BODY, "gzip, lzma", LIMIT)

    assert decoded.error == (
        "content coding 'lzma' is not known (known: br, deflate, gzip, x-gzip, zstd)"
    )


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_body_made_to_swell_stops_at_the_limit(name):
    bomb = ENCODERS[name](b"\0" * 30_000_000)

    decoded = decode(bomb, name, 1_000_000)

    assert decoded == Decoded(body=b"\0" * 1_000_000, is_too_long=True)
