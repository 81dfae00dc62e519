"""Body pages: what any reader of Parquet gives back is what was written."""

import io
import os
from contextlib import suppress
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from raw_store.page_reader import iter_values, stream_value
from raw_store.pages import Compression, ParquetFile
from raw_store.spool import STEP, Spool
from raw_store.thrift import (
    BINARY,
    DOUBLE,
    I16,
    I32,
    I64,
    LIST,
    STRUCT,
    TRUE,
    ThriftError,
    read_struct,
    write_struct,
)

SCHEMA = pa.schema([("name", pa.string()), ("body", pa.binary()), ("count", pa.int64())])
OPTIONS: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
LONG = Compression(level=3, window_log=24)

bodies = st.lists(st.none() | st.binary(max_size=50), min_size=1, max_size=40)


def write(groups):
    file = io.BytesIO()
    parquet = ParquetFile(file, SCHEMA, LONG, OPTIONS)
    for values in groups:
        columns = [
            pa.array([f"row {n}" for n in range(len(values))]),
            pa.nulls(len(values), pa.binary()),
            pa.array(range(len(values)), pa.int64()),
        ]
        parquet.add(pa.Table.from_arrays(columns, schema=SCHEMA), {"body": values})
    parquet.finish({"who": "wrote it"})
    return file.getvalue()


@given(groups=st.lists(bodies, max_size=4))
def test_pyarrow_reads_what_was_written_and_its_checksums_fit(groups):
    file = pq.ParquetFile(io.BytesIO(write(groups)), page_checksum_verification=True)

    table = file.read()

    assert table["body"].to_pylist() == [body for values in groups for body in values]
    assert table["count"].to_pylist() == [n for values in groups for n in range(len(values))]
    assert file.metadata.metadata[b"who"] == b"wrote it"
    assert file.metadata.num_row_groups == len(groups)


def test_duckdb_and_polars_read_it_too(tmp_path):
    path = tmp_path / "bodies.parquet"
    values = [b"a" * 100_000, None, b"", os.urandom(3_000_000), b"a" * 100_000]
    path.write_bytes(write([values, values[::-1]]))

    in_duckdb = duckdb.sql(f"SELECT body FROM '{path}'").fetchall()
    in_polars = polars.read_parquet(path)["body"].to_list()

    assert [body for (body,) in in_duckdb] == values + values[::-1]
    assert in_polars == values + values[::-1]


def test_a_match_is_found_farther_away_than_the_level_alone_would_look():
    noise = os.urandom(6_000_000)

    size = len(write([[noise, noise]]))

    assert size < 6_100_000


def test_a_spooled_body_is_written_and_read_back_piece_by_piece(tmp_path):
    parts = [os.urandom(700_000), b"x" * 5_000_000, b"end"]
    spool = Spool.of(parts)
    raw = write([[spool]])
    chunk = pq.ParquetFile(io.BytesIO(raw)).metadata.row_group(0).column(1)

    pieces = list(stream_value(io.BytesIO(raw), chunk))

    assert b"".join(pieces) == b"".join(parts)
    assert max(map(len, pieces)) <= STEP
    assert pq.read_table(io.BytesIO(raw))["body"].to_pylist() == [b"".join(parts)]


def test_a_flipped_bit_in_a_streamed_page_is_noticed():
    raw = bytearray(write([[Spool.of([os.urandom(100_000)])]]))
    chunk = pq.ParquetFile(io.BytesIO(bytes(raw))).metadata.row_group(0).column(1)
    raw[chunk.data_page_offset + 50_000] ^= 1

    with pytest.raises((ValueError, zstandard.ZstdError)):
        list(stream_value(io.BytesIO(raw), chunk))


def test_a_page_of_several_bodies_is_not_streamed_as_one():
    raw = write([[b"one", b"two"]])
    chunk = pq.ParquetFile(io.BytesIO(raw)).metadata.row_group(0).column(1)

    with pytest.raises(ValueError, match="one value"):
        list(stream_value(io.BytesIO(raw), chunk))


structs = st.recursive(
    st.dictionaries(
        st.integers(1, 40),
        st.tuples(st.just(TRUE), st.booleans())
        | st.tuples(st.sampled_from([I16, I32, I64]), st.integers(-(2**31), 2**31))
        | st.tuples(st.just(BINARY), st.binary(max_size=200))
        | st.tuples(st.just(DOUBLE), st.binary(min_size=8, max_size=8))
        | st.tuples(st.just(LIST), st.tuples(st.just(I64), st.lists(st.integers(-(2**40), 2**40)))),
    ),
    lambda inner: st.dictionaries(
        st.integers(1, 40),
        st.tuples(st.just(STRUCT), inner)
        | st.tuples(st.just(LIST), st.tuples(st.just(STRUCT), st.lists(inner, max_size=20))),
    ),
    max_leaves=8,
)


@given(structs)
def test_a_struct_is_read_back_as_it_was_written(struct):
    raw = write_struct(struct)

    assert read_struct(raw) == (struct, len(raw))


@given(st.binary(max_size=100))
def test_bytes_that_are_no_struct_raise_one_kind_of_error(raw):
    with suppress(ThriftError):
        struct, end = read_struct(raw)

        assert end <= len(raw)
        assert read_struct(write_struct(struct))[0] == struct


@given(values=bodies)
def test_values_are_read_one_by_one_as_they_were_written(values):
    raw = write([values])
    chunk = pq.ParquetFile(io.BytesIO(raw)).metadata.row_group(0).column(1)

    assert list(iter_values(io.BytesIO(raw), chunk)) == values
