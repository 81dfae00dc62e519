"""Slices: a large segment parsed in parts is the same as parsed whole, and goes on where it was."""

import threading

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from raw_store.archive import Archive
from raw_store.segment_writer import SEALED
from reshape import registry, slices
from reshape.parse import label_of, parse_segments, payloads_to_parse
from reshape.records import OUTCOMES, SLICES, records_dir
from reshape.regrouping import RecordFiles
from reshape.slices import cut, join, parsed_slices
from tests.making import make_payload

pytestmark = pytest.mark.django_db(transaction=True)

PAYLOADS = 2 * SEALED.rows + 100
"""Three row groups."""


@pytest.fixture
def pages():
    return registry._transforms["sample.transform_pages"]


@pytest.fixture
def segment(home):
    """One segment of three row groups; every fifth payload cannot be read."""
    payloads = [
        make_payload(
            "sample.pages",
            b"no JSON"
            if number % 5 == 0
            else {"authors": [{"code": f"a{number % 50}", "name": f"{number}"}]},
            url=f"http://library.example/{number}",
        )
        for number in range(PAYLOADS)
    ]
    archive = Archive()
    archive.append_all("sample.pages", payloads)
    (segment,) = archive.segments()
    return segment


def everything(label):
    """Each record file's rows. Payloads that are converted alone come after their neighbours."""
    root = records_dir("", "")
    return {
        path.relative_to(root).as_posix(): sorted(pq.read_table(path).to_pylist(), key=str)
        for path in sorted(root.rglob("*.parquet"))
    }


def parse_until(transform, archive, payloads):
    """Parse, and be stopped once so many payloads are done."""
    done = []

    def advance(count):
        done.append(count)
        if sum(done) >= payloads:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parse_segments([transform], archive, advance=advance)


def test_slices_joined_are_the_files_of_the_whole_segment(home, segment, pages, monkeypatch):
    archive = Archive()
    whole = parse_segments([pages], archive)
    expected = everything(label_of(pages))
    for path in records_dir("", "").rglob("*.parquet"):
        path.unlink()
    monkeypatch.setattr(slices, "SLICE_BYTES", 1)

    sliced = parse_segments([pages], archive)

    assert len(cut(archive.url, segment.path)) == 3
    assert everything(label_of(pages)) == expected
    assert sliced == whole
    assert not list((home / "records" / SLICES).rglob("*.parquet"))
    assert payloads_to_parse([pages], archive) == 0


def test_a_parse_that_was_stopped_goes_on_with_the_slices_that_are_left(
    home, segment, pages, monkeypatch
):
    monkeypatch.setattr(slices, "SLICE_BYTES", 1)
    archive = Archive()
    parse_until(pages, archive, 1)

    assert len(parsed_slices(home / "records", segment.name, label_of(pages))) == 1
    assert not records_dir(OUTCOMES, label_of(pages)).exists()
    assert parse_segments([pages], archive).payload_count == PAYLOADS - SEALED.rows
    assert records_dir(OUTCOMES, label_of(pages)).joinpath(f"{segment.name}.parquet").exists()


def test_slices_that_only_wait_to_be_joined_are_joined(home, segment, pages, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_BYTES", 1)
    archive = Archive()
    monkeypatch.setattr(slices, "join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        parse_segments([pages], archive)
    monkeypatch.setattr(slices, "join", join)

    parsed = parse_segments([pages], archive)

    assert (parsed.payload_count, parsed.segment_count) == (0, 1)
    assert records_dir(OUTCOMES, label_of(pages)).joinpath(f"{segment.name}.parquet").exists()


def test_an_erasure_leaves_no_slice(home, segment, pages, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_BYTES", 1)
    parse_until(pages, Archive(), 1)

    RecordFiles().drop(["01900000-0000-7000-8000-000000000000"])

    assert not list((home / "records" / SLICES).rglob("*.parquet"))


def test_a_slice_taken_away_meanwhile_is_parsed_again(home, segment, pages, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_BYTES", 1)
    archive = Archive()
    erased: list[int] = []

    def advance(count):
        if not erased:
            erased.append(count)
            slices.forget_slices()

    parse_segments([pages], archive, advance=advance)

    (path,) = records_dir(OUTCOMES, label_of(pages)).glob("*.parquet")
    assert pq.read_metadata(path).num_rows == PAYLOADS


def test_two_at_once_end_as_one(home, segment, pages, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_BYTES", 1)
    archive = Archive().pinned()
    together = threading.Barrier(2)
    failures = []

    def parse():
        try:
            together.wait(10)
            parse_segments([pages], archive)
        except Exception as error:
            failures.append(error)

    both = [threading.Thread(target=parse) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()

    assert failures == []
    (path,) = records_dir(OUTCOMES, label_of(pages)).glob("*.parquet")
    rows = pq.read_table(path)["fetch_id"].to_pylist()
    assert len(rows) == len(set(rows)) == PAYLOADS


def test_slices_of_a_parsed_segment_and_old_empty_folders_are_swept(
    home, segment, pages, monkeypatch
):
    monkeypatch.setattr(slices, "SLICE_BYTES", 1)
    archive = Archive()
    parse_until(pages, archive, 1)
    late = next((home / "records" / SLICES).rglob("*.parquet"))
    content = late.read_bytes()
    parse_segments([pages], archive)
    late.write_bytes(content)

    slices.sweep_slices(older_than_seconds=-1)

    assert not list((home / "records" / SLICES).iterdir())


def test_a_segment_that_is_damaged_in_one_slice_counts_as_not_parsed(
    home, segment, pages, monkeypatch
):
    monkeypatch.setattr(slices, "SLICE_BYTES", 1)
    path = home / "archive" / segment.path
    second = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    at = second.dictionary_page_offset or second.data_page_offset
    content[at + 20 : at + 60] = bytes(40)
    path.chmod(0o644)
    path.write_bytes(content)

    parsed = parse_segments([pages], Archive())

    assert len(parsed.damaged) == 1
    assert parsed.payload_count == PAYLOADS - SEALED.rows
    assert not records_dir(OUTCOMES, label_of(pages)).exists()


@examples(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 100), max_size=30), st.integers(1, 120))
def test_every_row_group_is_in_one_slice_and_no_slice_of_several_is_too_large(sizes, limit):
    found = slices.cut_groups([(1, size) for size in sizes], limit)

    assert [group for piece in found for group in piece.groups] == list(range(len(sizes)))
    assert all(piece.body_bytes <= limit or len(piece.groups) == 1 for piece in found)
    assert sum(piece.body_bytes for piece in found) == sum(sizes)
