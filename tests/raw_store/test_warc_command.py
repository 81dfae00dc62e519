"""`archive export-warc`, `import-warc` and `import-har`, as an operator uses them."""

import dataclasses
import hashlib
from datetime import timedelta

import orjson
import pytest
import warcio
from django.core.management import CommandError, call_command

from ingest.imports import ImportRedaction
from raw_store.archive import Archive
from raw_store.errors import ExportRefused, ImportRefused
from raw_store.feeds import Feed
from raw_store.interchange import redaction
from raw_store.interchange.warc_export import export_warc
from raw_store.interchange.warc_import import import_warc
from raw_store.models import Segment
from raw_store.progress import Progress
from raw_store.segments import SPOOLED_FROM
from raw_store.spool import Spool

from .conftest import FEED, NOON, URL, make_payload
from .exchanging import exported, fresh, rows_of
from .test_har import entry
from .test_warc_import import OK, pair, record

SECRETS = {
    "token": "tok-7f3a9c5b1d2e4f60",
    "cookie": "cookie-9a8b7c6d5e4f3a2b",
    "parameter": "param-1a2b3c4d5e6f7a8b",
    "field": "field-0f1e2d3c4b5a6978",
    "answer": "answer-5566778899aabbcc",
}


@pytest.fixture
def archive(settings, tmp_path, db) -> Archive:
    settings.ARCHIVE_URL = str(tmp_path / "archive")
    return Archive()


def test_export_says_what_it_made(archive, tmp_path, capsys):
    archive.append_all(FEED, [make_payload(b"a"), make_payload(b"a", minute=1)])

    call_command(
        "archive", "export-warc", FEED, "--output", str(tmp_path / "warc"), "--since", "2026-03-01"
    )

    path, said = capsys.readouterr().out.splitlines()
    assert path == str(tmp_path / "warc" / f"{FEED}-20260301120000000-00000.warc.gz")
    assert said.startswith(f"{FEED}: 2 fetches, 1 files, ")


def test_files_are_cut_by_size_and_each_stands_alone(archive, tmp_path):
    payloads = [make_payload(b"%d" % n * 999, minute=n, url=f"{URL}?{n}") for n in range(9)]
    archive.append_all(FEED, payloads)

    call_command("archive", "export-warc", FEED, "--output", str(tmp_path), "--max-size", "3k")

    files = sorted(tmp_path.glob("*.warc.gz"))
    assert len(files) > 2
    assert [path.name[-13:-8] for path in files] == [f"{n:05d}" for n in range(len(files))]
    for path in files:
        with open(path, "rb") as file:
            every = [(each.rec_type, each.rec_headers) for each in warcio.ArchiveIterator(file)]
        kinds = [kind for kind, _ in every]
        (warcinfo, *of_file) = [said for _, said in every]
        assert warcinfo["WARC-Filename"] == path.name
        assert {said["WARC-Warcinfo-ID"] for said in of_file} == {warcinfo["WARC-Record-ID"]}
        assert kinds[0] == "warcinfo"
        assert kinds[1:] == ["response", "request", "metadata"] * (len(kinds) // 3)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--output", "there.warc.gz"], "exists already"),
        (["quakes.week", "--output", "new.warc"], "is one file, and 2 feeds"),
        (["--max-size", "much"], "no size such as 500M"),
        (["--max-size", "0"], "no size such as 500M"),
        (["--since", "noon"], "Invalid isoformat"),
        (["quakes.dya"], "no feed 'quakes.dya'"),
    ],
)
def test_export_refuses_clearly(archive, tmp_path, monkeypatch, options, complaint):
    archive.append_all(FEED, [make_payload(b"a")])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.warc.gz").write_bytes(b"precious")

    with pytest.raises(CommandError, match=complaint):
        call_command("archive", "export-warc", FEED, *options)

    assert (tmp_path / "there.warc.gz").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "there.warc.gz"]


class _Interrupting(Progress):
    """An operator who presses Ctrl-C after three fetches."""

    def advance(self, count: int = 1) -> None:
        super().advance(count)
        if self.count == 3:
            raise KeyboardInterrupt


def test_an_export_that_is_interrupted_leaves_no_file(archive, tmp_path):
    payloads = [make_payload(b"%d" % n, minute=n, url=f"{URL}?{n}") for n in range(5)]
    archive.append_all(FEED, payloads)

    with pytest.raises(KeyboardInterrupt):
        export_warc(
            archive,
            FEED,
            tmp_path / "warc",
            max_size=1,
            progress=_Interrupting("export", quiet=True),
        )

    assert list((tmp_path / "warc").iterdir()) == []


def test_an_export_that_finds_no_room_says_so_and_leaves_no_file(archive, tmp_path):
    archive.append_all(FEED, [make_payload(b"a")])
    (tmp_path / "file").write_text("")

    with pytest.raises(ExportRefused, match="could not be written"):
        export_warc(archive, FEED, tmp_path / "file" / "warc")


def test_an_import_that_is_interrupted_keeps_what_it_archived(archive, tmp_path):
    path = tmp_path / "some.warc"
    path.write_bytes(b"".join(pair(number) for number in range(200)))

    with pytest.raises(KeyboardInterrupt):
        import_warc(
            archive,
            Feed(name=FEED),
            [path],
            ImportRedaction(FEED),
            _Interrupting("import", quiet=True),
        )
    call_command("archive", "import-warc", FEED, str(path))

    assert len(list(archive.scan(FEED))) == 200


def test_import_says_what_it_did_and_names_what_it_could_not_take(archive, tmp_path, capsys):
    path = tmp_path / "some.warc"
    odd = record("response", OK, WARC_Date="noon")
    path.write_bytes(record("warcinfo", b"", WARC_Target_URI=None) + pair(1) + odd)

    with pytest.raises(CommandError, match="1 could not be taken"):
        call_command("archive", "import-warc", FEED, str(path))

    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        f"{FEED}: 1 fetches archived, 0 were already there.",
        "Passed over: 1 warcinfo.",
    ]
    assert "no WARC-Date" in printed.err


def test_secrets_in_a_warc_do_not_reach_the_disk(archive, tmp_path):
    url = f"{URL}?api_key={SECRETS['parameter']}&page=2"
    asked = (
        f"POST /day.json?api_key={SECRETS['parameter']} HTTP/1.1\r\n"
        f"Authorization: Bearer {SECRETS['token']}\r\nCookie: session={SECRETS['cookie']}\r\n"
        f"Content-Type: application/json\r\n\r\n"
        f'{{"password": "{SECRETS["field"]}"}}'
    ).encode()
    answer = f'{{"access_token": "{SECRETS["answer"]}", "token_type": "bearer"}}'.encode()
    path = tmp_path / "some.warc"
    path.write_bytes(
        record("request", asked, WARC_Target_URI=url)
        + record("response", OK + b"you sent " + SECRETS["token"].encode(), WARC_Target_URI=url)
        + record("response", OK.replace(b"text/plain", b"application/json") + answer)
    )

    call_command("archive", "import-warc", FEED, str(path))

    first, second = archive.scan(FEED)
    _assert_no_secret(archive)
    assert dict(first.request_headers)["Authorization"].startswith("Bearer redacted-")
    assert "page=2" in first.url
    assert (second.status, second.body, second.encoded_digest) == (200, None, None)


def test_secrets_in_a_har_do_not_reach_the_disk(archive, tmp_path):
    headers = [
        {"name": "Authorization", "value": f"Bearer {SECRETS['token']}"},
        {"name": "Cookie", "value": f"session={SECRETS['cookie']}"},
    ]
    url = f"{URL}?api_key={SECRETS['parameter']}"
    post = {
        "mimeType": "application/x-www-form-urlencoded",
        "text": f"password={SECRETS['field']}",
    }
    headers.append({"name": "Content-Type", "value": post["mimeType"]})
    cookies = [{"name": "set-cookie", "value": f"a={SECRETS['token']}\nb={SECRETS['answer']}"}]
    path = tmp_path / "some.har"
    one = entry(
        "body",
        request={"url": url, "method": "POST", "headers": headers, "postData": post},
        response={"headers": cookies},
    )
    path.write_bytes(orjson.dumps({"log": {"entries": [one]}}))

    call_command("archive", "import-har", FEED, str(path))

    (row,) = archive.scan(FEED)
    _assert_no_secret(archive)
    assert [name for name, _ in row.headers] == ["set-cookie", "set-cookie"]


def _assert_no_secret(archive: Archive) -> None:
    said = repr(rows_of(archive))
    assert [name for name, secret in SECRETS.items() if secret in said] == []


def test_the_same_request_with_another_token_has_the_same_key(archive, tmp_path):
    for number in range(2):
        url = f"{URL}?api_key=secret-{number}-5d4c3b2a19f8e7d6"
        path = tmp_path / f"{number}.warc"
        date = f"2026-03-0{number + 1}T12:00:00Z"
        path.write_bytes(record("response", OK + b"same", WARC_Target_URI=url, WARC_Date=date))
        call_command("archive", "import-warc", FEED, str(path))

    first, second = archive.scan(FEED)
    assert first.request_key == second.request_key
    assert first.url != second.url
    assert second.payload_id == first.fetch_id


def test_what_is_masked_already_stays_as_it_is(archive, tmp_path):
    masked = "redacted-0123456789abcdef"
    payload = make_payload(
        b"body",
        url=f"{URL}?api_key={masked}",
        request_headers=(
            ("Authorization", f"Bearer {masked}"),
            ("Cookie", f"a={masked}; b={masked}"),
        ),
        headers=(("Set-Cookie", f"a={masked}; Path=/"), ("X-Api-Key", masked)),
        request_body=f'{{"password": "{masked}"}}'.encode(),
    )
    archive.append_all(FEED, [payload])
    before = rows_of(archive)
    files = exported(archive, tmp_path / "warc")

    fresh(tmp_path / "archive")
    call_command("archive", "import-warc", FEED, *map(str, files))

    assert rows_of(Archive()) == before


def test_without_rules_nothing_is_imported(monkeypatch):
    monkeypatch.setattr(redaction, "_rules", [])

    with pytest.raises(ImportRefused, match="masks the secrets"):
        redaction.of_feed(FEED)


def test_a_damaged_body_is_not_exported_with_a_new_digest(archive, tmp_path):
    payload = make_payload(b"a", body_digest=hashlib.sha256(b"b").hexdigest(), body_size=1)
    archive.append_all(FEED, [payload])

    with pytest.raises(CommandError, match="digest of its bytes is not the one recorded"):
        call_command("archive", "export-warc", FEED, "--output", str(tmp_path / "warc"))

    assert list(tmp_path.rglob("*.warc.gz*")) == []


def test_a_body_too_large_for_memory_goes_out_and_comes_in(archive, tmp_path):
    step = bytes(range(256)) * 4096
    chunks = [step] * (SPOOLED_FROM // len(step) + 1)
    payload = make_payload(None, http_version="HTTP/1.1", reason="OK")
    large = dataclasses.replace(payload, spooled_body=Spool.of(chunks, tmp_path))
    archive.append_all(FEED, [large, make_payload(b"small", minute=1)])
    said = [(row["body_digest"], row["body_size"]) for row in rows_of(archive)]
    files = exported(archive, tmp_path / "warc")

    second = fresh(tmp_path / "second")
    import_warc(second, Feed(name=FEED), files, ImportRedaction(FEED))

    assert [(row["body_digest"], row["body_size"]) for row in rows_of(second)] == said
    assert said[0][1] > SPOOLED_FROM
    assert all(report.is_whole for report in second.verify())


def test_history_from_a_warc_gives_the_versions_of_live_fetches(archive, tmp_path):
    bodies = [b"a", b"b", b"b", b"a"]
    dated = [
        record(
            "response",
            OK + body,
            WARC_Date=(NOON + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            WARC_Record_ID=f"<urn:{minute}>",
        )
        for minute, body in enumerate(bodies)
    ]
    for minute in (2, 3, 0, 1):
        path = tmp_path / f"{minute}.warc"
        path.write_bytes(dated[minute])
        call_command("archive", "import-warc", FEED, str(path))

    rows = sorted(archive.scan(FEED), key=lambda row: row.fetched_at)
    assert [archive.read(row.fetch_id).body for row in rows] == bodies
    assert Segment.objects.count() == 4
