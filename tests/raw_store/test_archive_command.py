"""`manage.py archive`: what it prints, what it refuses, its exit codes."""

import json
from pathlib import Path

import pytest
from django.core.checks.registry import registry
from django.core.management import CommandError, call_command

from raw_store.archive import Archive
from raw_store.checks import check_archive_folder
from raw_store.models import Segment

from .conftest import FEED, URL, make_payload
from .test_importing import line, write_log


@pytest.fixture
def archive(settings, tmp_path, db) -> Archive:
    settings.ARCHIVE_URL = str(tmp_path / "archive")
    return Archive()


def test_list_shows_feeds_and_their_segments(archive, capsys):
    archive.append_all(FEED, [make_payload(b"a"), make_payload(b"b", minute=1)])

    call_command("archive", "list")
    call_command("archive", "list", FEED)

    of_feeds, of_segments = capsys.readouterr().out.split("\nsegment", 1)
    assert of_feeds.splitlines()[1].split()[:4] == [FEED, "1", "2", "2"]
    assert archive.segments()[0].path in of_segments


def test_list_as_json_holds_exact_numbers(archive, capsys):
    archive.append_all(FEED, [make_payload(b"a" * 1234)])

    call_command("archive", "list", "--json")

    (row,) = json.loads(capsys.readouterr().out)
    assert (row["feed"], row["payloads"], row["bodies"]) == (FEED, 1, 1234)
    assert row["first"] == row["last"] == "2026-03-01T12:00:00Z"


def test_list_of_an_empty_archive_says_so(archive, capsys):
    call_command("archive", "list")

    assert "Nothing is archived yet" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["list", "verify"])
def test_an_unknown_feed_is_answered_with_the_known_ones(archive, action):
    with pytest.raises(CommandError, match=r"no feed 'quakes\.dya'.*closest first: quakes\.day"):
        call_command("archive", action, "quakes.dya")


def test_show_prints_request_and_response(archive, capsys):
    payload = make_payload(
        b"{}", headers=(("ETag", '"1"'), ("etag", "2")), http_version="HTTP/1.1", reason="OK"
    )
    archive.append_all(FEED, [payload])

    call_command("archive", "show", str(payload.fetch_id))

    shown = capsys.readouterr().out
    assert f"> GET {URL}\n" in shown
    assert '< HTTP/1.1 200 OK\n< ETag: "1"\n< etag: 2\n' in shown
    assert "body: 2 B, SHA-256 44136fa3" in shown


def test_show_prints_a_revisits_body_byte_for_byte(archive, capfdbinary):
    body = b"\xff\x00line\r\n"
    payload = make_payload(body, minute=1)
    archive.append_all(FEED, [make_payload(body), payload])

    call_command("archive", "show", str(payload.fetch_id), "--body")

    assert capfdbinary.readouterr().out == body


def test_show_says_why_there_is_no_body(archive):
    payload = make_payload(None, status=None, error="timeout: no answer within 30 s")
    archive.append_all(FEED, [payload])

    with pytest.raises(CommandError, match="failed: timeout"):
        call_command("archive", "show", str(payload.fetch_id), "--body")


def test_verify_fails_when_a_segment_is_damaged(archive, capsys):
    archive.append_all(FEED, [make_payload(b"a")])
    call_command("archive", "verify")
    path = Path(archive.url) / archive.segments()[0].path
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(CommandError, match="1 of 1 segments") as refused:
        call_command("archive", "verify")

    printed = capsys.readouterr()
    assert "1 segments, 1 payloads, 1 B of bodies read: all is well." in printed.out
    assert path.name in printed.err
    assert refused.value.returncode == 1


def test_gc_says_what_it_would_do_and_then_does_it(archive, capsys):
    archive.append_all(FEED, [make_payload(b"a")])
    path = archive.segments()[0].path
    Segment.objects.all().delete()

    call_command("archive", "gc", "--grace", "0", "--dry-run")
    call_command("archive", "gc", "--grace", "0")
    call_command("archive", "gc", "--grace", "0")

    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"would adopt {path}: 1 payloads"
    assert printed[1] == f"adopted {path}: 1 payloads"
    assert printed[-1] == "Nothing to clear up."


def test_reindex_restores_the_index(archive, capsys):
    archive.append_all(FEED, [make_payload(b"a")])
    Segment.objects.all().delete()

    call_command("archive", "reindex", verbosity=0)

    assert capsys.readouterr().out == "1 segments, 1 payloads indexed.\n"
    assert len(list(archive.scan())) == 1


def test_import_takes_logs_and_says_what_it_did(archive, tmp_path, capsys):
    log = write_log(tmp_path / "log.jsonl.xz", line(0, "a"), line(1, "b"))

    call_command("archive", "import", FEED, str(log))
    call_command("archive", "import", FEED, str(log))

    assert capsys.readouterr().out.splitlines() == [
        f"{FEED}: 2 snapshots archived, 0 were already there.",
        f"{FEED}: 0 snapshots archived, 2 were already there.",
    ]


def test_import_takes_one_file_with_its_address_and_time(archive, tmp_path):
    page = tmp_path / "page.html"
    page.write_bytes(b"<p>")

    call_command(
        "archive", "import", FEED, str(page), "--url", URL, "--fetched-at", "2024-05-01T08:00+02:00"
    )

    (row,) = archive.scan(FEED)
    assert (row.url, row.body, row.fetched_at.isoformat()) == (
        URL,
        b"<p>",
        "2024-05-01T06:00:00+00:00",
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["quakes.dya", "log.jsonl"], "no feed 'quakes.dya'"),
        ([FEED, "absent.jsonl"], "absent.jsonl does not exist"),
        ([FEED, "page.html"], "Say with --url"),
        ([FEED, "page.html", "--url", URL], "is not a time such as"),
        ([FEED, "page.html", "--url", "day.json"], "not an http or https address"),
        ([FEED, "page.html", "--url", URL, "--fetched-at", "noon"], "--fetched-at: Invalid"),
        ([FEED, "page.html", "--url", URL, "--fetched-at", "2024-01-01T00:00"], "no zone"),
        ([FEED, "log.jsonl", "--url", URL], "each line says its URL"),
        ([FEED, "log.jsonl"], "line 1: not a snapshot"),
    ],
)
def test_import_refuses_clearly(archive, tmp_path, monkeypatch, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.html").write_bytes(b"<p>")
    (tmp_path / "log.jsonl").write_text("nonsense\n")

    with pytest.raises(CommandError, match=complaint):
        call_command("archive", "import", *arguments)

    assert not Segment.objects.exists()


def test_help_shows_an_example_of_every_action(capsys):
    for action in ("list", "show", "verify", "gc", "reindex", "import"):
        with pytest.raises(SystemExit):
            call_command("archive", action, "--help")

        assert "manage.py archive " + action in capsys.readouterr().out


def test_the_checks_name_a_folder_that_cannot_be_written(settings, tmp_path):
    (tmp_path / "file").write_text("")
    settings.ARCHIVE_URL = str(tmp_path / "file" / "archive")

    (error,) = check_archive_folder()

    assert error.id == "raw_store.E001"
    assert "check_archive_folder" in str(registry.get_checks())


def test_the_checks_name_an_address_of_no_archive(settings):
    settings.ARCHIVE_URL = "ftp://example.org/archive"

    assert [error.id for error in check_archive_folder()] == ["raw_store.E002"]


def test_the_checks_accept_a_folder_still_to_be_made_and_a_store(settings, tmp_path):
    settings.ARCHIVE_URL = str(tmp_path / "a" / "b")
    of_folder = check_archive_folder()
    settings.ARCHIVE_URL = "s3://bucket/archive"

    assert of_folder == check_archive_folder() == []


def test_a_refusal_of_the_system_is_told_with_what_to_do(archive, monkeypatch):

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr("raw_store.locks.open", refuse, raising=False)

    with pytest.raises(CommandError, match="free space and the permissions"):
        call_command("archive", "compact")
