"""Verify: present, absent by policy, damaged or lost, and the same in worker processes."""

import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from raw_store import verification
from raw_store.archive import Archive
from raw_store.feeds import Feed
from raw_store.models import Segment
from raw_store.retention import apply_retention

from .conftest import FEED, NOON, make_payload

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def archive(home):
    return Archive()


def counts(archive):
    names = ("present", "revisit", "absent", "damaged", "lost")
    reports = list(archive.verify())
    return {name: sum(getattr(each, f"{name}_count") for each in reports) for name in names}


def fill(archive):
    """Three segments: a body, two revisits of it elsewhere, another body and its revisit."""
    archive.append_all(FEED, [make_payload(b"a")])
    archive.append_all(FEED, [make_payload(b"a", minute=1)])
    archive.append_all(
        FEED, [make_payload(b"a", minute=2), *(make_payload(b"b", minute=n) for n in (3, 4))]
    )


def file_of(archive, segment):
    return Path(archive.url) / segment.path


def rewrite(archive, segment, **columns):
    """Write a segment's file again with other values in some columns."""
    path = file_of(archive, segment)
    with pq.ParquetFile(path) as file:
        table, metadata = file.read(), file.metadata.metadata
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(values, table[name].type))
    kept = {key: value for key, value in metadata.items() if key != b"ARROW:schema"}
    pq.write_table(table.replace_schema_metadata(kept), path)
    Segment.objects.filter(name=segment.name).update(file_bytes=path.stat().st_size)


def test_every_row_is_counted_as_what_it_is(archive):
    fill(archive)
    archive.append_all(FEED, [make_payload(None, minute=9, status=None, error="timeout")])

    assert counts(archive) == {"present": 2, "revisit": 3, "absent": 0, "damaged": 0, "lost": 0}


def test_a_body_removed_by_policy_is_no_problem(archive):
    fill(archive)
    apply_retention(
        archive.url, [Feed(name=FEED, keep_bodies=timedelta(minutes=1))], NOON + timedelta(hours=1)
    )

    assert counts(archive) == {"present": 1, "revisit": 1, "absent": 3, "damaged": 0, "lost": 0}
    assert all(report.is_whole for report in archive.verify())


def test_revisits_of_a_lost_segment_are_lost_with_it(archive):
    fill(archive)
    file_of(archive, archive.segments()[0]).unlink()

    assert counts(archive) == {"present": 1, "revisit": 1, "absent": 0, "damaged": 0, "lost": 3}


def test_a_segment_that_cannot_be_read_is_damaged_with_all_its_rows(archive):
    fill(archive)
    file_of(archive, archive.segments()[-1]).write_bytes(b"nonsense")

    assert counts(archive) == {"present": 1, "revisit": 1, "absent": 0, "damaged": 3, "lost": 0}


def test_a_revisit_of_a_revisit_is_a_problem(archive):
    fill(archive)
    third = archive.segments()[-1]
    holder, named = (str(row.fetch_id) for row in list(archive.scan())[:2])
    with pq.ParquetFile(file_of(archive, third)) as file:
        ids = file.read(["payload_id"])["payload_id"].to_pylist()
    rewrite(archive, third, payload_id=[named if each == holder else each for each in ids])

    problems = [problem for report in archive.verify() for problem in report.problems]

    assert problems == [f"revisits name fetch {named}, which is a revisit itself."]


def test_a_revisit_of_a_row_without_body_is_a_problem(archive):
    fill(archive)
    first = archive.segments()[0]
    holder = next(archive.scan()).fetch_id
    rewrite(archive, first, payload_id=[None], body=[None])

    problems = [problem for report in archive.verify() for problem in report.problems]

    assert f"revisits name fetch {holder}, which holds no body." in problems


def test_worker_processes_find_the_same(archive, settings, monkeypatch):
    for minute in range(4):
        fill(archive)
        archive.append_all(FEED, [make_payload(b"x" * 5000, minute=10 + minute)])
    rewrite(archive, archive.segments()[3], body_size=[7])
    here = sorted(archive.verify(), key=lambda report: report.path)
    advanced: list[int] = []

    settings.PARSE_WORKERS = 2
    monkeypatch.setattr(verification, "POOL_FROM_BYTES", 0)
    there = sorted(archive.verify(advance=advanced.append), key=lambda report: report.path)

    assert there == here
    assert sum(advanced) == sum(segment.row_count for segment in Segment.objects.all())
    assert [report.damaged_count for report in here if not report.is_whole] == [1]


def test_the_command_counts_per_feed_and_prints_json(archive, capsys):
    fill(archive)
    archive.append_all("quakes.other", [make_payload(b"c", feed="quakes.other")])
    file_of(archive, archive.segments(FEED)[0]).unlink()

    with pytest.raises(CommandError, match="3 of 4 segments"):
        call_command("archive", "verify", "--json")

    said = json.loads(capsys.readouterr().out)
    by_feed = {row["feed"]: row for row in said["feeds"]}
    assert by_feed["quakes.other"]["present"] == 1
    assert (by_feed[FEED]["present"], by_feed[FEED]["lost"]) == (1, 3)
    assert len(said["problems"]) == 3
