"""Recorded histories become payloads with their true times, once, in constant memory."""

import json
import lzma
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raw_store.archive import Archive
from raw_store.errors import ImportRefused
from raw_store.importing import import_snapshots
from raw_store.models import LatestVersion, Segment
from raw_store.payload import digest
from raw_store.snapshots import Snapshot, read_files, read_log

from .conftest import FEED, NOON, URL, make_payload

PROJECT = Path(__file__).parents[2]
CORPUS = PROJECT.parent / "shared" / "corpus"


def test_a_log_becomes_payloads_with_their_times(archive, tmp_path):
    log = write_log(tmp_path / "log.jsonl.xz", line(0, "é"), line(5, "", method="post"))

    done = import_snapshots(archive, FEED, read_log(log))

    first, second = archive.scan(FEED)
    assert (done.added, done.known) == (2, 0)
    assert (first.body, first.status, first.fetched_at) == ("é".encode(), None, NOON)
    assert (second.body, second.method, second.payload_id) == (b"", "POST", second.fetch_id)
    assert archive.captures(FEED)["run_is_complete"].to_pylist() == [True, True]


def test_importing_again_adds_nothing(archive, tmp_path):
    log = write_log(tmp_path / "log.jsonl", line(0, "a"), line(1, "b"), line(1, "b"))
    import_snapshots(archive, FEED, read_log(log))

    done = import_snapshots(archive, FEED, read_log(log))

    assert (done.added, done.known) == (0, 3)
    assert [row.body for row in archive.scan(FEED)] == [b"a", b"b"]
    assert Segment.objects.count() == 1


@given(
    fetches=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=8),
    cut=st.integers(0, 8),
)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_history_imported_after_live_fetches_gives_the_same_versions(
    db, tmp_path_factory, fetches, cut
):
    snapshots = [snapshot(minute, body) for minute, body in enumerate(fetches)]
    orders = [
        snapshots,
        snapshots[cut:] + snapshots[:cut],
        snapshots[::2] + snapshots[1::2],
    ]

    versions = []
    for order in orders:
        Segment.objects.all().delete()
        LatestVersion.objects.all().delete()
        archive = Archive(str(tmp_path_factory.mktemp("archive")))
        for each in order:
            import_snapshots(archive, FEED, [each])
        versions.append(versions_of(archive))

    assert versions[0] == [
        (NOON + timedelta(minutes=at), body.encode())
        for at, body in enumerate(fetches)
        if at == 0 or fetches[at - 1] != body
    ]
    assert versions[1] == versions[2] == versions[0]


def test_history_older_than_a_live_payload_may_name_it_as_holder(archive):
    live = make_payload(b"a", minute=10)
    archive.append_all(FEED, [live])

    import_snapshots(archive, FEED, [snapshot(0, "a")])

    older = next(row for row in archive.scan(FEED) if row.fetched_at == NOON)
    assert older.payload_id == live.fetch_id
    assert archive.read(older.fetch_id).body == b"a"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{", "not a snapshot"),
        ("[]", "a JSON object is expected"),
        (json.dumps({"url": URL, "body": ""}), "fetched_at is missing"),
        (json.dumps({"url": URL, "body": "", "fetched_at": "2026-01-01T00:00:00"}), "no zone"),
        (json.dumps({"url": "day.json", "body": "", "fetched_at": "2026-01-01Z"}), "address"),
        (json.dumps({"url": URL, "body": None, "fetched_at": "2026-01-01T00:00Z"}), "body must"),
    ],
)
def test_a_bad_line_is_named_and_the_lines_before_it_stay(archive, tmp_path, bad, reason):
    log = tmp_path / "log.jsonl"
    log.write_text(f"{line(0, 'a')}\n\n{bad}\n{line(2, 'b')}\n")

    with pytest.raises(ImportRefused, match=rf"log\.jsonl, line 3: .*{reason}"):
        import_snapshots(archive, FEED, read_log(log))

    assert [row.body for row in archive.scan(FEED)] == [b"a"]


def test_a_mended_log_adds_the_rest_and_completes_its_runs(archive, tmp_path):
    whole = [line(0, "a"), line(1, "b"), line(1, "c", url=f"{URL}?2"), line(2, "d")]
    log = write_log(tmp_path / "log.jsonl", *whole[:2], whole[2].replace("fetched_at", "when"))
    with pytest.raises(ImportRefused):
        import_snapshots(archive, FEED, read_log(log))
    broken = archive.captures(FEED)["run_is_complete"].to_pylist()
    write_log(log, *whole)

    done = import_snapshots(archive, FEED, read_log(log))

    assert broken == [True, False]
    assert (done.added, done.known) == (2, 2)
    assert archive.captures(FEED)["run_is_complete"].to_pylist() == [True] * 4


@pytest.mark.parametrize("recorded", [{"bytes": 2}, {"sha256": digest(b"other")}])
def test_a_body_that_is_not_what_was_recorded_is_refused(tmp_path, recorded):
    log = write_log(tmp_path / "log.jsonl", line(0, "a", **recorded))

    with pytest.raises(ImportRefused, match=r"line 1: .*recorded"):
        list(read_log(log))


def test_a_cut_xz_file_is_refused_and_what_came_before_stays(archive, tmp_path):
    log = write_log(
        tmp_path / "log.jsonl.xz", *(line(n, str(n) + os.urandom(400).hex()) for n in range(400))
    )
    log.write_bytes(log.read_bytes()[:-20_000])

    with pytest.raises(ImportRefused, match="cannot be read after line"):
        import_snapshots(archive, FEED, read_log(log))

    assert len(list(archive.scan(FEED))) > 10


def test_runs_larger_than_a_segment_are_complete_only_at_their_end(archive):
    def pages():
        for n in range(4_500):
            yield snapshot(0, "x", url=f"{URL}?page={n}")
        raise ImportRefused("the disk was pulled out")

    with pytest.raises(ImportRefused):
        import_snapshots(archive, FEED, pages())

    captures = archive.captures(FEED)
    assert captures.num_rows == 4_500
    assert not any(captures["run_is_complete"].to_pylist())


def test_files_named_by_their_times_are_snapshots_of_one_address(archive, tmp_path):
    for name in ("2014-04-14T115207Z.geojson", "2013-02-25.geojson", ".hidden"):
        (tmp_path / name).write_bytes(name.encode())

    import_snapshots(archive, FEED, read_files([tmp_path], URL))

    assert [(row.fetched_at, row.body) for row in archive.scan(FEED)] == [
        (datetime(2013, 2, 25, tzinfo=UTC), b"2013-02-25.geojson"),
        (datetime(2014, 4, 14, 11, 52, 7, tzinfo=UTC), b"2014-04-14T115207Z.geojson"),
    ]


def test_a_file_whose_name_is_no_time_is_refused(tmp_path):
    (tmp_path / "page.html").write_bytes(b"")

    with pytest.raises(ImportRefused, match=r"page\.html is not a time"):
        list(read_files([tmp_path], URL))


def test_importing_again_repairs_what_a_damaged_segment_held(archive, tmp_path):
    log = write_log(tmp_path / "log.jsonl", line(0, "a"), line(1, "b"))
    import_snapshots(archive, FEED, read_log(log))
    (segment,) = archive.segments()
    (Path(archive.url) / segment.path).unlink()

    lost = archive.segments()[0]
    done = import_snapshots(Archive(archive.url), FEED, read_log(log))
    bodies_before_reindex = [
        archive.read(row.fetch_id).body for row in archive.scan(on_damaged=str)
    ]
    archive.reindex()

    assert (done.added, done.known) == (2, 0)
    assert lost.name not in {segment.name for segment in archive.segments()}
    assert bodies_before_reindex == [b"a", b"b"]
    assert [row.body for row in archive.scan(FEED)] == [b"a", b"b"]


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus folder is absent")
def test_years_of_snapshots_are_imported_and_verified_in_constant_memory(tmp_path):
    script = (
        "import django; django.setup()\n"
        "from django.core.management import call_command; call_command('migrate', verbosity=0)\n"
        "from raw_store.archive import Archive\n"
        "from raw_store.importing import import_snapshots\n"
        "from raw_store.snapshots import read_log\n"
        "from pathlib import Path\n"
        f"log = read_log(Path({str(CORPUS / 'calfire/snapshots.jsonl.xz')!r}))\n"
        f"archive = Archive({str(tmp_path / 'archive')!r})\n"
        "assert import_snapshots(archive, 'calfire.incidents', log).added == 3694\n"
        "assert all(report.is_whole for report in archive.verify())\n"
        "print(Path('/proc/self/status').read_text())\n"
    )
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.raw_store.alone",
        "ROOTCELLAR_TEST_HOME": str(tmp_path),
    }

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )

    # Not the largest size that wait4 knows: it begins with that of the process that forks.
    status = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    assert int(status["VmHWM"].split()[0]) / 1024 < 350


def versions_of(archive) -> list[tuple[datetime, bytes | None]]:
    """Where the digest changes, in order of time."""
    rows = sorted(archive.scan(FEED), key=lambda row: (row.fetched_at, row.sequence))
    started = [rows[0], *(after for before, after in pairwise(rows) if _differ(before, after))]
    return [(row.fetched_at, archive.read(row.fetch_id).body) for row in started]


def _differ(before, after):
    return before.body_digest != after.body_digest


def snapshot(minute: float, body: str, url: str = URL) -> Snapshot:
    return Snapshot(url=url, fetched_at=NOON + timedelta(minutes=minute), body=body.encode())


def line(minute: int, body: str, **values) -> str:
    at = (NOON + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")
    return json.dumps({"seq": minute, "url": URL, "fetched_at": at, "body": body, **values})


def write_log(path: Path, *lines: str) -> Path:
    text = "".join(f"{each}\n" for each in lines).encode()
    path.write_bytes(lzma.compress(text) if path.suffix == ".xz" else text)
    return path
