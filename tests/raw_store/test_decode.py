"""Content decoding: every coding and chain, bodies cut short, bodies made to swell."""

import gzip
import hashlib
import os
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from raw_store.decode import EXPANSION_FLOOR, Decoded, _gunzipped, decode
from raw_store.spool import IN_MEMORY, Spool

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

    assert decoded.error == f"decode: the body is not {name}: it ends too early"
    assert decoded.body
    assert isinstance(decoded.body, bytes)
    assert body.startswith(decoded.body)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_body_that_is_not_what_it_says_is_an_error(name):
    decoded = decode(b"<html>not encoded at all</html>", name, LIMIT)

    assert decoded.error
    assert decoded.error.startswith(f"decode: the body is not {name}: ")


def test_an_unknown_coding_is_named_with_the_known_ones():
    decoded = decode(BODY, "gzip, lzma", LIMIT)

    assert decoded.error == (
        "decode: content coding 'lzma' is not known (known: br, deflate, gzip, x-gzip, zstd)"
    )


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_body_longer_than_the_limit_is_not_decoded(name):
    bomb = ENCODERS[name](b"\0" * 3_000_000)

    decoded = decode(bomb, name, 1_000_000)

    assert decoded == Decoded(
        body=None, error="expansion: decoded, the body is longer than 1000000 bytes"
    )


@pytest.mark.parametrize("name", ["gzip", "br", "zstd", "gzip, gzip", "gzip, br", "zstd, zstd"])
def test_a_body_made_to_swell_stops_in_little_memory(name):
    bomb = b"\0" * 200_000_000
    for coding in name.split(", "):
        bomb = ENCODERS[coding](bomb)
    tracemalloc.start()

    decoded = decode(bomb, name, 1 << 40)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert decoded.body is None
    assert decoded.error == (
        "expansion: decoded, the body is more than 200 times longer than the "
        f"{len(bomb)} bytes transferred"
    )
    assert peak < 64_000_000


def test_a_stage_between_that_swells_is_stopped_too():
    empty_members = gzip.compress(gzip.compress(b"") * 100_000)

    decoded = decode(empty_members, "gzip, gzip", 1_000_000)

    assert decoded.error
    assert decoded.error.startswith("expansion: ")


def test_a_text_that_repeats_itself_is_no_bomb():
    body = b"".join(b'{"id": "us%x"},' % (number**5) for number in range(700_000))

    assert len(body) > EXPANSION_FLOOR
    assert decode(gzip.compress(body), "gzip", 1 << 40).body == body


@pytest.mark.parametrize("name", ["gzip", "deflate", "zstd"])
def test_what_follows_the_encoded_body_is_noted_unless_it_is_padding(name):
    encoded = ENCODERS[name](BODY)

    assert decode(encoded + b"<!-- 3 ms -->", name, LIMIT) == Decoded(body=BODY, has_rest=True)
    assert decode(encoded + b"\0" * 512, name, LIMIT) == Decoded(body=BODY)


def test_a_skippable_frame_is_passed_over():
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00note"

    assert decode(zstandard.compress(BODY) + skippable, "zstd", LIMIT) == Decoded(body=BODY)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd", "zstd, gzip"])
def test_a_large_body_goes_from_spool_to_spool_in_little_memory(name, tmp_path):
    body = b"".join(b'{"id": "us%x"},' % (number**5) for number in range(900_000))
    encoded = body
    for coding in name.split(", "):
        encoded = ENCODERS[coding](encoded)
    given = Spool.of([encoded], tmp_path)
    tracemalloc.start()

    decoded = decode(given, name, 1 << 40, spool=tmp_path)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(decoded.body, Spool)
    assert decoded.body.digest == hashlib.sha256(body).hexdigest()
    assert decoded.error is None
    assert peak < 2 * IN_MEMORY + 8_000_000
    assert list(tmp_path.iterdir()) == []


def test_what_could_be_read_of_a_large_body_is_spooled_too(tmp_path):
    body = os.urandom(20_000_000)

    decoded = decode(gzip.compress(body, 1)[:-5_000_000], "gzip", 1 << 40, spool=tmp_path)

    assert isinstance(decoded.body, Spool)
    assert body.startswith(decoded.body.read())
    assert decoded.error == "decode: the body is not gzip: it ends too early"


def test_a_body_that_swells_leaves_no_file(tmp_path):
    decoded = decode(gzip.compress(b"\0" * 50_000_000), "gzip", 20_000_000, spool=tmp_path)

    assert decoded.body is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", [-1, -5, 3], ids=["size", "checksum", "flags"])
def test_a_short_body_whose_frame_is_wrong_is_not_taken_as_whole(at):
    encoded = bytearray(gzip.compress(BODY, mtime=0))
    encoded[at] ^= 0xE0

    assert (decode(bytes(encoded), "gzip", LIMIT).error or "").startswith("decode: ")


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255))))
def test_what_is_taken_as_whole_at_once_is_what_zlib_makes_of_it(body, changes):
    encoded = bytearray(gzip.compress(body, mtime=0))
    for at, change in changes[:2]:
        encoded[at % len(encoded)] ^= change

    found = _gunzipped(bytes(encoded))

    if found is None:
        assert changes
        return
    decompressor = zlib.decompressobj(wbits=31)
    assert decompressor.decompress(bytes(encoded)) == found
    assert decompressor.eof
