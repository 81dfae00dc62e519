"""Record files follow a compaction: nothing is parsed again, and the rows stay the same."""

from datetime import timedelta

import pytest

from etl.walk import refresh
from raw_store import compaction
from raw_store.archive import Archive
from reshape import replay
from reshape.parse import label_of, parse_segments
from reshape.records import OUTCOMES, parsed_segments, records_dir
from reshape.registry import transforms_of
from reshape.replay import derive, parse_new
from tests.making import make_payload
from tests.sample.models import Author

pytestmark = pytest.mark.django_db(transaction=True)

FEED = "sample.pages"


def seal(archive, *minutes):
    for minute in minutes:
        archive.append_all(
            FEED,
            [
                make_payload(
                    FEED,
                    {"authors": [{"code": f"a{minute}", "name": f"Author {minute}"}]},
                    minute=minute,
                    url=f"http://library.example/{minute % 3}",
                )
            ],
        )


def authors():
    return sorted(Author.objects.values_list("code", "name", "fetch_id"))


def test_nothing_is_parsed_again_after_a_compaction(home):
    archive = Archive()
    seal(archive, 1, 2, 3, 4)
    refresh("sample", archive=archive)
    before = authors()

    archive.compact()
    done = refresh("sample", archive=Archive())

    assert done.derivation.parsed.payload_count == 0
    assert done.loaded.changed_count == 0
    assert authors() == before
    assert len(before) == 3


def test_a_segment_that_was_not_parsed_yet_is_parsed_after_it_was_merged(home):
    archive = Archive()
    seal(archive, 1, 2)
    refresh("sample", archive=archive)
    seal(archive, 6)

    archive.compact()
    refresh("sample", archive=Archive())

    assert [code for code, *_ in authors()] == ["a1", "a2", "a6"]


def test_record_files_of_replaced_segments_go_when_their_files_do(home):
    archive = Archive()
    seal(archive, 1, 2)
    refresh("sample", archive=archive)
    old = {segment.name for segment in archive.segments()}
    label = next(label_of(t) for t in transforms_of("sample") if t.feed == FEED)

    archive.compact()
    kept = parsed_segments(label)
    archive.gc(grace=timedelta(0))

    (segment,) = archive.segments()
    assert kept == old | {segment.name}
    assert parsed_segments(label) == {segment.name}
    assert not [p for p in records_dir(OUTCOMES, label).parent.parent.rglob("*") if p.stem in old]


def test_a_derivation_speaks_of_the_same_segments_though_they_are_compacted_meanwhile(
    home, monkeypatch
):
    archive = Archive()
    seal(archive, 1, 2, 3)
    parse = parse_segments

    def compacted_between(*args, **options):
        done = parse(*args, **options)
        Archive().compact()
        return done

    monkeypatch.setattr("reshape.replay.parse_segments", compacted_between)

    derived = derive("sample", archive)

    assert derived.linked.row_counts["sample_author"] == 3
    assert derived.damaged == []


def test_what_a_long_replay_has_listed_is_not_deleted_by_compactions_meanwhile(home, monkeypatch):
    archive = Archive()
    seal(archive, 1, 2, 3)

    def parse_for_long(*arguments, **options):
        parsed = parse_new(*arguments, **options)
        for _ in range(2):
            compaction.compact(archive.url, grace=timedelta(0))
        return parsed

    monkeypatch.setattr(replay, "parse_new", parse_for_long)
    done = refresh("sample", archive=archive)
    hidden = len(list((home / "archive").rglob("*.replaced")))
    compaction.compact(archive.url, grace=timedelta(0))

    assert done.derivation.damaged == []
    assert len(authors()) == 3
    assert (hidden, len(list((home / "archive").rglob("*.replaced")))) == (3, 0)
