"""HAR files, as browsers save them: each entry becomes a row."""

import base64
from datetime import UTC, datetime

import orjson
import pytest

from raw_store.errors import ImportRefused
from raw_store.feeds import Feed
from raw_store.interchange import har
from raw_store.interchange.har import import_har

from .conftest import FEED, URL
from .exchanging import Unmasked

AT = "2026-03-01T13:00:00.123456+01:00"


def entry(text=None, *, content=None, request=None, response=None, **values) -> dict[str, object]:
    """One entry, as Chrome writes it."""
    asked = {"method": "GET", "url": URL, "httpVersion": "http/2.0", "headers": []}
    said = {
        "status": 200,
        "statusText": "OK",
        "httpVersion": "HTTP/1.1",
        "headers": [{"name": "Content-Type", "value": "text/plain"}],
        "content": {"size": 0, "mimeType": "text/plain"} | ({} if text is None else {"text": text}),
    }
    said["content"] = content or said["content"]
    return {
        "startedDateTime": AT,
        "time": 12.6,
        "request": asked | (request or {}),
        "response": said | (response or {}),
        "comment": "passed over",
        **values,
    }


def imported(archive, tmp_path, *entries, name="some.har"):
    path = tmp_path / name
    path.write_bytes(orjson.dumps({"log": {"version": "1.2", "entries": list(entries)}}))
    return import_har(archive, Feed(name=FEED), [path], Unmasked())


def only(archive):
    (row,) = archive.scan(FEED)
    return row


def test_an_entry_becomes_a_row(archive, tmp_path):
    headers = [{"name": "Accept", "value": "*/*"}, {"name": "ACCEPT", "value": "b"}]
    done = imported(archive, tmp_path, entry("body", request={"headers": headers}))

    row = only(archive)
    assert (done.added, done.problems) == (1, [])
    assert (row.url, row.method, row.status, row.reason) == (URL, "GET", 200, "OK")
    assert row.http_version == "HTTP/1.1"
    assert row.fetched_at == datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert row.elapsed_ms == 13
    assert row.request_headers == (("Accept", "*/*"), ("ACCEPT", "b"))
    assert (row.body, row.content_type, row.encoded_digest) == (b"body", "text/plain", None)
    assert archive.captures(FEED)["run_is_complete"].to_pylist() == [True]


def test_a_body_that_is_no_text_comes_as_base64(archive, tmp_path):
    raw = bytes(range(256))
    text = base64.b64encode(raw).decode()
    imported(archive, tmp_path, entry(content={"size": 256, "encoding": "base64", "text": text}))

    assert only(archive).body == raw


@pytest.mark.parametrize(
    ("media_type", "size", "body"),
    [
        ("text/html; charset=ISO-8859-1", 5, "Zürich"[:5].encode("latin-1")),
        ("text/html; charset=utf-8", 6, "Züric".encode()),
        ("text/html", 6, "Züric".encode()),
        ("text/html; charset=ascii", 6, "Züric".encode()),
        ("text/html; charset=klingon", 6, "Züric".encode()),
        ("text/html; charset=ISO-8859-1", 6, "Züric".encode()),
    ],
)
def test_text_is_made_the_bytes_it_was_decoded_from(archive, tmp_path, media_type, size, body):
    content = {"size": size, "mimeType": media_type, "text": "Züric"}
    imported(archive, tmp_path, entry(content=content, response={"headers": []}))

    assert only(archive).body == body


def test_a_coding_was_undone_by_who_saved_the_file(archive, tmp_path):
    headers = [{"name": "content-encoding", "value": "gzip"}]
    imported(archive, tmp_path, entry("body", response={"headers": headers}))

    row = only(archive)
    assert (row.body, row.content_encoding, row.error) == (b"body", "gzip", None)


@pytest.mark.parametrize(
    ("response", "content", "body", "error"),
    [
        ({"status": 204}, {"size": 0}, b"", None),
        ({"status": 302}, {"size": -1}, b"", None),
        ({"status": 304}, {"size": 0}, None, None),
        ({"status": 200}, {"size": 0}, b"", None),
        ({"status": 200}, {"size": 7}, None, "unrecorded: the HAR leaves out the body of 7 bytes"),
        ({"status": 200}, {"mimeType": "x"}, None, "unrecorded: the HAR leaves out the body"),
        ({"status": 0, "_error": "net::ERR_X"}, {"size": 0}, None, "unrecorded: net::ERR_X"),
        ({"status": 0}, {"size": 0}, None, "unrecorded: OK"),
    ],
)
def test_a_body_that_is_missing_is_told_from_one_that_is_empty(
    archive, tmp_path, response, content, body, error
):
    imported(archive, tmp_path, entry(content=content, response=response))

    row = only(archive)
    assert (row.body, row.error) == (body, error)
    assert row.status == (response["status"] or None)


@pytest.mark.parametrize(
    ("post", "body"),
    [
        ({"mimeType": "application/json", "text": '{"é": 1}'}, '{"é": 1}'.encode()),
        ({"mimeType": "x", "text": "AAE=", "encoding": "base64"}, b"\0\1"),
        (
            {"mimeType": "form", "params": [{"name": "a", "value": "ä b"}, {"name": "c"}]},
            b"a=%C3%A4+b&c=",
        ),
        ({"mimeType": "x", "text": ""}, None),
        (None, None),
    ],
)
def test_the_body_of_a_request_is_kept(archive, tmp_path, post, body):
    method = {"method": "POST", "postData": post}
    imported(archive, tmp_path, entry("x", request=method))

    assert (only(archive).request_body, only(archive).method) == (body, "POST")


def test_headers_of_one_name_in_one_value_are_headers_each(archive, tmp_path):
    headers = [{"name": "set-cookie", "value": "a=1\nb=2"}]
    imported(archive, tmp_path, entry("x", response={"headers": headers}))

    assert only(archive).headers == (("set-cookie", "a=1"), ("set-cookie", "b=2"))


def test_a_redirect_and_its_target_are_two_rows_of_a_run(archive, tmp_path):
    there = {"url": f"{URL}?there"}
    done = imported(
        archive,
        tmp_path,
        entry(content={"size": 0}, response={"status": 301, "redirectURL": f"{URL}?there"}),
        entry("body", request=there),
    )

    first, second = archive.scan(FEED)
    assert done.added == 2
    assert (first.status, first.body, second.body) == (301, b"", b"body")
    assert first.run_id == second.run_id
    assert (first.sequence, second.sequence) == (0, 1)


def test_importing_again_adds_nothing_though_entries_be_equal(archive, tmp_path):
    entries = [entry("a"), entry("a"), entry("b")]
    first = imported(archive, tmp_path, *entries)

    again = imported(archive, tmp_path, *entries, name="copy.har")

    assert (first.added, first.known) == (3, 0)
    assert (again.added, again.known) == (0, 3)


def test_entries_of_other_schemes_are_counted_and_passed_over(archive, tmp_path):
    done = imported(archive, tmp_path, entry("a", request={"url": "data:text/plain,a"}))

    assert done.added == 0
    assert done.passed_over == {"entries of other schemes": 1}


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ({}, "request is missing"),
        ("text", "string indices"),
        (entry("a", startedDateTime="2026-03-01T12:00:00"), "has no zone"),
        (entry("a", startedDateTime="noon"), "Invalid isoformat"),
        (entry("a", request={"url": "day.json"}), "is no address"),
        (entry("a", request={"url": "http://a:port/"}), "Port could not be cast"),
        (entry("a", response={"status": 1000}), "is no status"),
        (entry("a", response={"status": "200"}), "is no status"),
        (entry("a", response={"headers": [{"name": "a"}]}), "value is missing"),
        (entry(content={"text": "?", "encoding": "base64"}), "is not base64"),
        (entry(content={"text": 7}), "text is expected"),
    ],
)
def test_an_entry_that_is_none_is_named_and_its_neighbours_are_taken(
    archive, tmp_path, bad, complaint
):
    there = {"url": f"{URL}?there"}
    done = imported(archive, tmp_path, entry("a"), bad, entry("b", request=there))

    assert (done.added, len(done.problems)) == (2, 1)
    assert "some.har, entry 1: " in done.problems[0]
    assert complaint in done.problems[0]
    assert archive.captures(FEED)["run_is_complete"].to_pylist() == [False, False]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is no HAR file"),
        (b"[]", "is no HAR file"),
        (b"{}", "log is missing"),
        (b'{"log": {"entries": {}}}', "log.entries is no list"),
        (b'{"log": {"entries": [', "is no HAR file"),
        (b"WARC/1.1", "is no HAR file"),
    ],
)
def test_what_is_no_har_is_refused(archive, tmp_path, content, complaint):
    path = tmp_path / "some.har"
    path.write_bytes(content)

    with pytest.raises(ImportRefused, match=complaint):
        import_har(archive, Feed(name=FEED), [path], Unmasked())


def test_a_har_that_would_not_fit_in_memory_is_refused(archive, tmp_path):
    path = tmp_path / "some.har"
    with open(path, "wb") as file:
        file.truncate(har.LARGEST_FILE + 1)

    with pytest.raises(ImportRefused, match="a HAR is read whole"):
        import_har(archive, Feed(name=FEED), [path], Unmasked())
