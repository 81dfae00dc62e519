"""Verbatim: whatever a server sends is archived exactly as `docs/archive-format.md` says, or
refused with a reason; nothing is dropped silently. The cases are in `tests/ingest/wire/cases`."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from raw_store.payload import Payload
from raw_store.segments import iter_payloads

from .case import Case, Row
from .cases import CASES
from .harvest import feed_of
from .server import PORT

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Harvest:
    """What was archived and seen of every case."""

    told: dict[str, Any]
    rows: dict[tuple[str, str], list[Payload]]
    """By feed and case, in their order; a revisit with its holder's body."""

    def of(self, case: Case, keep_encoded: bool) -> list[Payload]:
        return self.rows[feed_of(case, keep_encoded), case.name]

    def feed(self, case: Case, keep_encoded: bool) -> dict[str, Any]:
        feeds: dict[str, Any] = self.told["feeds"]
        found: dict[str, Any] = feeds[feed_of(case, keep_encoded)]
        return found


@pytest.fixture(scope="session")
def harvest(migrated, tmp_path_factory) -> Harvest:
    home = Path(shutil.copytree(migrated, tmp_path_factory.mktemp("wire") / "home"))
    done = subprocess.run(
        [sys.executable, "-m", "tests.ingest.wire.harvest"],
        env=os.environ
        | {
            "ROOTCELLAR_TEST_HOME": str(home),
            "DJANGO_SETTINGS_MODULE": "tests.ingest.server_settings",
        },
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    cases = {port: name for name, port in told["ports"].items()}
    archive = home / "archive"
    stored = {
        row.fetch_id: row
        for path in archive.rglob("*.parquet")
        for row in iter_payloads(str(archive), str(path.relative_to(archive)))
    }
    rows = defaultdict(list)
    for row in sorted(stored.values(), key=lambda row: row.sequence):
        whole = row.with_body_of(stored[row.payload_id]) if row.payload_id else row
        rows[row.feed, cases.get(urlsplit(row.url).port, row.url)].append(whole)
    assert list((home / "spool").iterdir()) == []
    return Harvest(told, dict(rows))


@pytest.mark.parametrize("keep_encoded", [False, True], ids=["", "keep_encoded"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_archived_as_it_was_sent(harvest, case, keep_encoded):
    rows = harvest.of(case, keep_encoded)

    assert len(rows) == len(case.rows), [row.error for row in rows]
    for number, (row, expected) in enumerate(zip(rows, case.rows, strict=True)):
        if expected.has_response:
            reply = case.replies[min(number, len(case.replies) - 1)]
            sent = b"".join(step for step in reply if isinstance(step, bytes))
            port = b"%d" % harvest.told["ports"][case.name]
            assert_head(row, expected, sent.replace(PORT, port))
            assert_body(row, expected, keep_encoded)
        else:
            assert_no_response(row)
        assert row.truncated == expected.truncated
        assert (row.error or "").startswith(expected.error or "")
        assert bool(row.error) == bool(expected.error), row.error


@pytest.mark.parametrize("keep_encoded", [False, True], ids=["", "keep_encoded"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_extractor_sees_what_is_archived_or_an_error(harvest, case, keep_encoded):
    seen = harvest.feed(case, keep_encoded)["seen"][case.name]
    rows = {str(row.fetch_id): row for row in harvest.of(case, keep_encoded)}
    answers = [each for each in seen if "fetch_id" in each]
    last = case.rows[-1]

    assert len(seen) == case.times
    assert all(each.get("error") for each in seen if each not in answers)
    for answer in answers:
        row = rows[answer["fetch_id"]]
        body = b"" if row.body is None or row.status == 304 else row.body
        assert row.error is None
        assert answer["digest"] == hashlib.sha256(body).hexdigest()
    if not last.is_whole:
        assert "fetch_id" not in seen[-1]


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.connections or case.asked], ids=lambda case: case.name
)
def test_connections_are_kept_where_they_may_be_and_dropped_where_they_must_be(harvest, case):
    feed = harvest.feed(case, False)
    asked = feed["asked"][case.name]

    assert case.connections in (None, feed["connections"][case.name])
    if case.asked is not None:
        assert len(asked) == len(case.asked)
        for head, beginning in zip(asked, case.asked, strict=True):
            assert head.startswith(beginning)


def test_no_run_fails_and_no_row_is_of_no_case(harvest):
    outcomes = {feed: told["outcome"] for feed, told in harvest.told["feeds"].items()}
    names = {name for _, name in harvest.rows}

    assert set(outcomes.values()) == {"complete"}, harvest.told["feeds"]
    assert names == {case.name for case in CASES}
    assert len(names) >= 60


def test_the_archive_verifies_and_gives_back_every_row_as_it_was_given(harvest):
    assert harvest.told["problems"] == []
    assert harvest.told["changed"] == []


def assert_head(row: Payload, expected: Row, sent: bytes) -> None:
    version, status, reason, headers = head_of(sent)
    assert row.status == (expected.status or status)
    assert row.reason == (reason if expected.reason is None else expected.reason)
    assert row.http_version == version
    assert shown(row.headers) == shown(headers if expected.headers is None else expected.headers)
    assert row.content_type == row.header("content-type")


def assert_body(row: Payload, expected: Row, keep_encoded: bool) -> None:
    coded = expected.transferred is not None and expected.encoded
    is_kept = coded and (keep_encoded or expected.is_kept_encoded)
    assert row.body == expected.body
    if expected.body is not None:
        assert row.body_digest == hashlib.sha256(expected.body).hexdigest()
        assert row.body_size == len(expected.body)
    else:
        assert (row.body_digest, row.body_size, row.payload_id) == (None, None, None)
    assert row.encoded_size == len(expected.encoded)
    assert row.encoded_digest == hashlib.sha256(expected.encoded).hexdigest()
    assert row.encoded_body == (expected.encoded if is_kept else None)


def assert_no_response(row: Payload) -> None:
    assert (row.status, row.reason, row.http_version, row.headers) == (None, None, None, ())
    assert (row.body, row.body_digest, row.body_size, row.payload_id) == (None, None, None, None)
    assert (row.encoded_body, row.encoded_digest, row.encoded_size) == (None, None, None)


def head_of(sent: bytes) -> tuple[str, int, str, tuple[tuple[str, str], ...]]:
    """Version, status, reason and headers of the final response in some bytes.

    Written apart from the client's parser: lines, split at the first colon, without the space
    around the value (RFC 9112, section 5).
    """
    lines = re.split(r"\r?\n", sent.decode("latin-1"))
    while lines[0].split(" ")[1].startswith("1"):
        lines = lines[lines.index("") + 1 :]
    version, _, rest = lines[0].partition(" ")
    status, _, reason = rest.partition(" ")
    pairs = (line.partition(":") for line in lines[1 : lines.index("")])
    headers = tuple((name, value.strip(" \t")) for name, _, value in pairs)
    return version, int(status), reason, headers


def shown(headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """Headers as they may be compared: what a cookie holds is masked in the archive."""
    return [
        (name, re.sub(r"=[^;]*", "=…", value, count=1) if name == "Set-Cookie" else value)
        for name, value in headers
    ]
