"""Runs of a table that equal runs of its copy: found, they change nothing of what is told apart."""

from datetime import date, timedelta
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reshape import equal_runs
from reshape.columns import columns_of
from reshape.difference import Comparison
from reshape.equal_runs import EqualRuns
from reshape.sql import duck
from tests.sample.models import Author, Loan

SCHEMA = columns_of(Loan).schema
FETCH = "01999999-0000-7000-8000-000000000000"


def loan(key, said):
    """Two columns make the key; few values, so that many rows share the first one."""
    book, day = divmod(key, 3)
    return {
        "fetch_id": FETCH,
        "book_id": f"{book:04}",
        "day": date(2026, 1, 1) + timedelta(days=day),
        "loan_count": said,
    }


def batch_of(rows):
    return pa.RecordBatch.from_pylist([loan(*row) for row in rows], schema=SCHEMA)


def batches_of(rows, size):
    return [batch_of(rows[start : start + size]) for start in range(0, len(rows), size)]


def write(path, rows, group_size):
    """A copy: ordered by key, like those that are written."""
    ordered = pa.Table.from_batches([batch_of(sorted(rows))], schema=SCHEMA)
    pq.write_table(ordered, path, row_group_size=group_size)
    return path


@st.composite
def sides(draw):
    """The rows of a table in the order it gives them, and those it should have: key → what."""
    wanted = draw(st.dictionaries(st.integers(0, 40), st.integers(0, 1), min_size=1))
    live = {key: said for key, said in sorted(wanted.items()) if draw(st.integers(0, 9))}
    live |= draw(st.dictionaries(st.integers(0, 40), st.integers(0, 1), max_size=4))
    order = list(live)
    if draw(st.booleans()):
        order = draw(st.permutations(order))
    return [(key, live[key]) for key in order], wanted


@given(
    rows=sides(),
    batch_size=st.integers(1, 50),
    group_size=st.integers(1, 50),
    piece=st.integers(1, 8),
    held=st.integers(1, 3),
)
def test_what_is_told_apart_is_the_same_in_whatever_order_rows_come(
    tmp_path_factory, rows, batch_size, group_size, piece, held
):
    live, wanted = rows
    before = dict(live)
    path = write(tmp_path_factory.mktemp("runs") / "x.parquet", wanted.items(), group_size)
    with pytest.MonkeyPatch.context() as patched, duck() as duckdb:
        patched.setattr(equal_runs, "_PIECE", piece)
        patched.setattr(equal_runs, "_HELD_GROUPS", held)
        reader = pa.RecordBatchReader.from_batches(SCHEMA, batches_of(live, batch_size))
        found = Comparison(duckdb, Loan, path, reader)
        difference = found.describe()
        written = found.rows_to_write().read_all()
        deleted = found.keys_to_delete().read_all()

    added, removed = wanted.keys() - before.keys(), before.keys() - wanted.keys()
    changed = {key for key in wanted.keys() & before.keys() if wanted[key] != before[key]}
    assert (difference.added, difference.changed, difference.removed) == (
        len(added),
        len(changed),
        len(removed),
    )
    expected = batch_of(sorted((key, wanted[key]) for key in added | changed))
    assert written.to_pylist() == expected.to_pylist()
    gone = {(row["book_id"], row["day"]) for row in deleted.to_pylist()}
    assert gone == {(row["book_id"], row["day"]) for row in (loan(key, 0) for key in removed)}
    assert found.is_empty == (not live)


def runs_of(path):
    runs = EqualRuns.of(path, columns_of(Loan))
    assert runs
    return runs


def test_a_table_in_the_order_of_its_copy_leaves_nothing_to_a_join(tmp_path):
    rows = [(number, 0) for number in range(10_000)]
    runs = runs_of(write(tmp_path / "x.parquet", rows, 3_000))

    assert [list(runs.others(batch)) for batch in batches_of(rows, 2_500)] == [[]] * 4
    assert list(runs.unmet()) == []


def test_one_changed_row_leaves_its_own_piece(tmp_path):
    rows = [(number, 0) for number in range(20_000)]
    runs = runs_of(write(tmp_path / "x.parquet", rows, 20_000))
    rows[9_000] = (9_000, 1)

    (batch,) = batches_of(rows, 20_000)
    others = [piece.num_rows for piece in runs.others(batch)]

    assert others == [4_096]
    assert sum(piece.num_rows for piece in runs.unmet()) == 4_096


def test_rows_in_any_order_do_not_have_the_file_read_again_and_again(tmp_path, monkeypatch):
    monkeypatch.setattr(equal_runs, "_PIECE", 1)
    rows = [(number, 0) for number in range(1_000)]
    runs = runs_of(write(tmp_path / "x.parquet", rows, 10))
    file, reads = runs._file, []

    def read_row_group(group, **options):
        reads.append(group)
        return file.read_row_group(group, **options)

    monkeypatch.setattr(runs, "_file", SimpleNamespace(read_row_group=read_row_group))
    scattered = [rows[number * 379 % 1_000] for number in range(1_000)]

    others = [piece for batch in batches_of(scattered, 100) for piece in runs.others(batch)]

    assert len(reads) == 100 + equal_runs._HELD_GROUPS
    assert 0 < sum(piece.num_rows for piece in others) < 1_000


def test_a_file_without_statistics_is_left_to_the_join(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_batches([batch_of([(1, 0)])]), path, write_statistics=False)

    assert EqualRuns.of(path, columns_of(Loan)) is None


def test_a_file_whose_groups_are_too_large_to_hold_is_left_to_the_join(tmp_path, monkeypatch):
    monkeypatch.setattr(equal_runs, "_GROUP_BYTES", 100)
    path = write(tmp_path / "x.parquet", [(number, 0) for number in range(1_000)], 1_000)

    assert EqualRuns.of(path, columns_of(Loan)) is None


def test_a_file_of_other_columns_is_left_to_the_join(tmp_path):
    path = write(tmp_path / "x.parquet", [(1, 0)], 10)

    assert EqualRuns.of(path, columns_of(Author)) is None
