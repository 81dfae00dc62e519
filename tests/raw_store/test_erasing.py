"""Erasing from the archive: what is meant, what goes with it, what stays, what is refused."""

import shutil
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from ingest.models import Outcome, Run
from raw_store import erasing
from raw_store.archive import Archive
from raw_store.compaction import replace
from raw_store.erasing import erase, preview
from raw_store.errors import NotQuiet, SegmentCorrupt, SelectionInvalid
from raw_store.models import Erasure, LatestVersion, ReplacedSegment, Segment
from raw_store.payload import request_key
from raw_store.selection import Asked

from .conftest import FEED, NOON, URL, make_payload

OTHER = "https://example.org/other.json"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def archive(home):
    return Archive()


def fill(archive):
    """Two requests side by side in one segment; a, a again, b of each."""
    archive.append_all(
        FEED,
        [
            make_payload(body, minute=minute, url=url, headers=(("ETag", f'"{minute}"'),))
            for minute, body in enumerate([b"a", b"a", b"b"])
            for url in (URL, OTHER)
        ],
    )


def by_url(url, feed=None):
    return Asked(by="url", text=url, feed=feed)


def where(text, feed=None):
    return Asked(by="where", text=text, feed=feed)


def bodies(archive, url):
    return [archive.read(row.fetch_id).body for row in archive.scan() if row.url == url]


def test_every_fetch_of_an_address_goes_and_its_neighbours_stay(archive):
    fill(archive)
    stay = [row for row in archive.scan() if row.url == OTHER]

    erased = erase(archive.url, by_url(URL))
    assert erased

    assert (erased.fetch_count, erased.proof.left) == (3, [])
    assert list(archive.scan()) == stay
    assert [problem for report in archive.verify() for problem in report.problems] == []
    assert list(LatestVersion.objects.values_list("url", flat=True)) == [OTHER]


def test_an_address_is_compared_in_canonical_form(archive):
    fill(archive)

    found = preview(archive.url, by_url("HTTPS://EXAMPLE.org:443/day.json#top"))

    assert set(found["url"].to_pylist()) == {URL}
    assert found.num_rows == 3


def test_a_request_key_means_one_request(archive):
    fill(archive)

    erase(archive.url, Asked(by="key", text=request_key("GET", OTHER)))

    assert {row.url for row in archive.scan()} == {URL}


def test_a_body_goes_with_every_revisit_of_it(archive):
    fill(archive)

    erased = erase(archive.url, where(f"url = '{URL}' AND fetched_at = '2026-03-01 12:00:00+00'"))
    assert erased

    assert erased.fetch_count == 2
    assert bodies(archive, URL) == [b"b"]
    assert bodies(archive, OTHER) == [b"a", b"a", b"b"]


def test_a_revisit_goes_alone(archive):
    fill(archive)

    erased = erase(archive.url, where(f"url = '{URL}' AND payload_id <> fetch_id"))
    assert erased

    assert erased.fetch_count == 1
    assert bodies(archive, URL) == [b"a", b"b"]


def test_nobody_asks_about_an_erased_version_any_more(archive):
    fill(archive)

    erase(archive.url, where(f"url = '{URL}' AND fetched_at >= '2026-03-01 12:02:00+00'"))

    latest = LatestVersion.objects.get(url=URL)
    assert (latest.etag, latest.fetched_at.minute) == ('"1"', 1)
    assert archive.read(latest.payload_id).body == b"a"


def test_only_the_feed_named_is_meant(archive):
    fill(archive)
    archive.append_all("quakes.other", [make_payload(b"a", feed="quakes.other")])

    erased = erase(archive.url, by_url(URL, feed="quakes.other"))
    assert erased

    assert erased.fetch_count == 1
    assert len(bodies(archive, URL)) == 3


def test_orphans_and_replaced_files_bring_nothing_back(archive):
    fill(archive)
    replace(archive.url, archive.segments())
    assert ReplacedSegment.objects.exists()
    archive.append_all(FEED, [make_payload(b"orphan", minute=9)])
    Segment.objects.filter(row_count=1).delete()

    erased = erase(archive.url, by_url(URL))
    assert erased
    archive.reindex()

    assert erased.fetch_count == 4
    assert {row.url for row in archive.scan()} == {OTHER}
    assert not list(Path(archive.url).rglob(".*"))


def test_what_is_left_in_some_other_file_is_named_and_searched_for_again(archive, home, capsys):
    fill(archive)
    forgotten = home / "forgotten"
    shutil.copytree(archive.url, forgotten)

    with pytest.raises(CommandError, match="something is left"):
        call_command("archive", "erase", "--url", URL, "--yes")
    printed = capsys.readouterr()
    shutil.rmtree(forgotten)
    call_command("archive", "erase", "--resume")

    assert "forgotten/source=quakes" in printed.err
    assert "nothing is left" in capsys.readouterr().out
    assert Erasure.objects.get().state == Erasure.DONE
    assert not list((home / "erasing").iterdir())


def test_an_address_that_others_mention_is_reported_and_does_not_fail(archive, capsys):
    fill(archive)
    archive.append_all(
        FEED, [make_payload(f"see {OTHER}".encode(), minute=7, url="https://example.org/list")]
    )

    call_command("archive", "erase", "--url", OTHER, "--yes")

    assert f"Other fetches still mention {OTHER}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "url = 'a') UNION SELECT ('x' = 'x'",
        "true; DROP TABLE rows",
        "url IN (SELECT 'x')",
        "count(*) > 1",
        "row_number() OVER () = 1",
        "body IS NOT NULL",
        "nonsense",
        "url =",
    ],
)
def test_a_predicate_that_is_no_expression_over_one_row_is_refused(archive, text):
    fill(archive)

    with pytest.raises(SelectionInvalid, match="--where"):
        erase(archive.url, where(text))
    assert len(list(archive.scan())) == 6


def test_while_a_run_is_under_way_nothing_is_erased(archive):
    fill(archive)
    Run.objects.create(
        feed=FEED,
        started_at=NOON,
        heartbeat_at="2100-01-01T00:00:00Z",
        outcome=Outcome.RUNNING,
        machine="here",
        pid=1,
    )

    with pytest.raises(NotQuiet, match=r"A run of quakes\.day is under way"):
        erase(archive.url, by_url(URL))
    assert len(list(archive.scan())) == 6


def test_an_erasure_is_finished_though_the_database_was_lost(archive, monkeypatch):
    fill(archive)
    with monkeypatch.context() as patched:
        patched.setattr(erasing, "_rewrite", interrupted)
        with pytest.raises(KeyboardInterrupt):
            erase(archive.url, by_url(URL))
    Erasure.objects.all().delete()

    (erased,) = erasing.resume(archive.url)

    assert (erased.fetch_count, erased.proof.left) == (3, [])
    assert {row.url for row in archive.scan()} == {OTHER}


def interrupted(*arguments):
    raise KeyboardInterrupt


def test_a_segment_that_cannot_be_read_might_hold_it_so_nothing_is_erased(archive):
    fill(archive)
    archive.append_all(FEED, [make_payload(b"z", minute=30)])
    damaged, other = (Path(archive.url) / segment.path for segment in archive.segments())
    damaged.write_bytes(b"nonsense")
    before = other.read_bytes()

    with pytest.raises(SegmentCorrupt):
        erase(archive.url, by_url(URL))
    assert other.read_bytes() == before


def test_a_dry_run_shows_what_is_meant_and_changes_nothing(archive, capsys):
    fill(archive)

    call_command("archive", "erase", "--url", URL, "--dry-run")

    printed = capsys.readouterr().out
    assert printed.count(f"GET {URL}  200") == 3
    assert "Nothing was changed." in printed
    assert len(list(archive.scan())) == 6


def test_without_a_terminal_it_wants_to_be_told_yes(archive):
    fill(archive)

    with pytest.raises(CommandError, match="Add --yes"):
        call_command("archive", "erase", "--url", URL)
    assert len(list(archive.scan())) == 6


def test_where_nothing_is_meant_nothing_happens(archive, capsys):
    fill(archive)

    call_command("archive", "erase", "--url", "https://example.org/none", "--yes")

    assert "No archived fetch is meant." in capsys.readouterr().out
    assert not Erasure.objects.exists()
