"""A segment on an S3 store: there whole or not at all, whatever fails and whoever is killed."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command

from raw_store import uploads
from raw_store.archive import Archive
from raw_store.durability import hide_file, open_folder, open_input, write_file
from raw_store.errors import ArchiveError, SealFailed, StoreRefused
from raw_store.files import list_files
from raw_store.store_check import check_store, disk_warnings, ensure_store
from tests.topology.peers import KEY, ROOT, SECRET, s3_store

from .lying_store import lying
from .test_durability import run_child

PATH = "source=a/feed=a.b/date=2026-03-01/x.parquet"
PART = 10 << 20
LARGE = os.urandom(1 << 20) * 25

UPLOADING = """
import sys
from raw_store.durability import write_file
piece = bytes(1 << 20)
def write(file):
    for _ in range(int(sys.argv[3])):
        file.write(piece)
write_file(sys.argv[1], sys.argv[2], write)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        with s3_store(tmp_path_factory.mktemp("store")) as url:
            yield url


@pytest.fixture
def url(store, request) -> str:
    """An address of this test's own, in the one store."""
    name = re.sub(r"\W+", "-", request.node.name)
    return str(store.replace("/archive?", f"/{name}?"))


def honest(method: str, target: str) -> None:
    """Leaves every answer to the store."""


def read(url: str, path: str) -> bytes:
    with open_input(url, path) as file:
        return bytes(file.read())


def test_a_small_segment_is_one_request_to_write_and_one_to_confirm(url):
    with lying(url, honest) as (through, told):
        size = write_file(through, PATH, lambda file: file.write(b"small"))

    assert size == 5
    assert [each.partition(" ")[0] for each in told] == ["PUT", "HEAD"]
    assert read(url, PATH) == b"small"


def test_a_large_segment_is_uploaded_in_parts_and_is_the_same(url):
    with lying(url, honest) as (through, told):
        write_file(through, PATH, lambda file: file.write(LARGE))

    assert len([each for each in told if "partNumber=" in each]) == 3
    assert read(url, PATH) == LARGE
    assert uploads.pending(url) == []


def test_a_large_segment_is_uploaded_in_constant_memory(url):
    small, large = (
        subprocess.run(
            [sys.executable, "-c", UPLOADING, url, f"{PATH}.{megabytes}.parquet", str(megabytes)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for megabytes in (1, 120)
    )

    kilobytes = [int(re.findall(r"\d+", text)[0]) for text in (small, large)]
    assert kilobytes[1] - kilobytes[0] < 60_000


def test_what_fails_while_it_is_made_never_reaches_the_store(url):
    def fail(file) -> None:
        file.write(LARGE)
        raise KeyboardInterrupt

    with lying(url, honest) as (through, told), pytest.raises(KeyboardInterrupt):
        write_file(through, PATH, fail)

    assert told == []


@pytest.mark.parametrize(
    "refused", ["uploads", "partNumber=1&", "partNumber=2&", "^POST .*uploadId"]
)
def test_an_upload_that_is_refused_midway_leaves_nothing(url, refused):
    def refuse(method: str, target: str):
        return (403, b"") if re.search(refused, f"{method} {target}") and method != "GET" else None

    with lying(url, refuse) as (through, told), pytest.raises(SealFailed, match="not acknowl"):
        write_file(through, PATH, lambda file: file.write(LARGE))

    assert any(re.search(refused, each) for each in told)
    assert list_files(url) == []
    assert uploads.pending(url) == []


def test_an_object_of_another_size_is_refused_and_removed(url):
    def lie(method: str, target: str):
        return (200, b"1") if method == "HEAD" and target.endswith("x.parquet") else None

    with lying(url, lie) as (through, _), pytest.raises(SealFailed, match="holds 1 of 5 bytes"):
        write_file(through, PATH, lambda file: file.write(b"small"))

    assert list_files(url) == []


def test_a_replaced_object_keeps_its_name(url):
    write_file(url, PATH, lambda file: file.write(b"whole"))

    hide_file(url, PATH)

    assert read(url, PATH) == b"whole"
    with pytest.raises(FileNotFoundError, match="no file source=a/none"):
        open_input(url, "source=a/none")


def test_an_interrupted_upload_leaves_nothing(url):
    uploading = start_upload(url, PATH)

    uploading.send_signal(signal.SIGINT)

    assert uploading.wait() == -signal.SIGINT
    assert list_files(url) == []
    assert uploads.pending(url) == []


def test_gc_sweeps_what_a_killed_upload_left_and_nothing_of_others(url, settings, db, capsys):
    settings.ARCHIVE_URL = url
    killed_in_the_middle_of_an_upload(url, PATH)
    others = [killed_in_the_middle_of_an_upload(url, "theirs/x.parquet")]
    others += [killed_in_the_middle_of_an_upload(url.replace("?", "-next-door?"), PATH)]

    call_command("archive", "gc", dry_run=True, grace=0)
    call_command("archive", "gc")
    young = uploads.pending(url)
    call_command("archive", "gc", grace=0)

    told = capsys.readouterr().out.splitlines()
    assert f"would remove {PATH}" in told
    assert f"removed {PATH}" in told
    assert [upload.path for upload in young] == [PATH]
    assert uploads.pending(url) == []
    assert all_uploads(url) == sorted(others)
    assert list_files(url) == []


def killed_in_the_middle_of_an_upload(url: str, path: str) -> str:
    """Kill -9 a large upload once the store knows of it; return its key."""
    before = all_uploads(url)
    uploading = start_upload(url, path)
    uploading.send_signal(signal.SIGKILL)
    assert uploading.wait() == -signal.SIGKILL
    (key,) = set(all_uploads(url)) - set(before)
    assert not [file for file in list_files(url) if file.path == path]
    return key


def start_upload(url: str, path: str) -> subprocess.Popen[bytes]:
    """A process in the middle of a large upload."""
    before = all_uploads(url)
    uploading = subprocess.Popen(
        [sys.executable, "-c", UPLOADING, url, path, "100"], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 30
    while all_uploads(url) == before and time.monotonic() < end:
        time.sleep(0.01)
    return uploading


def all_uploads(url: str) -> list[str]:
    """The keys of every partial upload in the bucket, whosever it is."""
    bucket = uploads._Store.of(re.sub(r"(s3://\w+)[^?]*", r"\1", url))
    document = uploads._request(bucket, "GET", "", {"uploads": ""})
    return sorted(re.findall(r"<Key>([^<]+)</Key>", document.decode()))


def test_killed_writers_lose_nothing_acknowledged_and_leave_nothing_torn(url, tmp_path):
    told = run_child(tmp_path, "killed", url, 30)

    assert len(told["acknowledged"]) > 100
    assert set(told["acknowledged"]) <= set(told["indexed"])
    assert len(told["after_gc"]) == len(told["indexed"]) + told["adopted"]
    assert (told["damaged"], told["problems"]) == ([], [])
    assert uploads.pending(url) == []


def test_a_bucket_that_is_not_there_has_no_partial_uploads(url):
    assert uploads.pending(url.replace("s3://rootcellar", "s3://no-such-bucket")) == []


def test_the_environment_says_where_the_store_is_and_who_asks(store, monkeypatch):
    host = re.findall(r"endpoint_override=([^&]+)", store)[0]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}")
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    report = check_store("s3://rootcellar/from-the-environment")

    assert report.warnings == []
    assert list(report.steps) == [
        "the bucket is there",
        "a file can be made durable",
        "a listing shows it",
        "it reads back byte for byte",
        "a range of it too",
        "it can be deleted",
        "no listing shows it any more",
    ]


def test_the_address_may_hold_the_key(url, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone else")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something else")
    address = url.replace("s3://", f"s3://{KEY}:{SECRET}@")

    report = check_store(address)

    assert report.warnings == []
    assert SECRET not in report.address


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("s3://", "s3://nobody:sosecret@", "AWS_ACCESS_KEY_ID"),
        ("s3://", f"s3://{KEY}:sosecret@", "AWS_ACCESS_KEY_ID"),
        ("s3://rootcellar", "s3://no-such-bucket", "'no-such-bucket' not found"),
    ],
    ids=["no such key", "wrong secret", "no such bucket"],
)
def test_a_store_that_refuses_is_named_with_what_to_look_at(url, old, new, expected):
    address = url.replace(old, new).replace("&allow_bucket_creation=true", "")

    with pytest.raises(StoreRefused, match=expected) as refused:
        check_store(address)

    assert "promise" in str(refused.value)
    assert "sosecret" not in str(refused.value)


def test_no_message_quotes_the_secret_of_an_address_that_is_none():
    with pytest.raises(ArchiveError, match="percent-encoded") as refused:
        open_folder("s3://someone:so/secret@bucket/archive?region=x")

    assert "secret@" not in str(refused.value)


def as_if_deleted(method: str, target: str):
    return (204, b"") if method == "DELETE" else None


def other_bytes(method: str, target: str):
    return (200, bytes(4096)) if method == "GET" and ".check-" in target else None


def empty_listing(method: str, target: str):
    listing = b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"
    return (200, listing) if method == "GET" and "list-type=2" in target else None


def read_only(method: str, target: str):
    return (403, b"") if method in ("PUT", "POST") else None


@pytest.mark.parametrize(
    ("lie", "promise"),
    [
        (as_if_deleted, "no listing shows it any more"),
        (other_bytes, "it reads back byte for byte"),
        (empty_listing, "a listing shows it"),
        (read_only, "a file can be made durable"),
    ],
)
def test_a_store_that_breaks_a_promise_is_refused(url, lie, promise):
    with lying(url, lie) as (through, _), pytest.raises(StoreRefused, match=promise):
        check_store(through)


def test_a_store_without_upload_listings_is_a_warning_and_gc_goes_on(url, caplog, db):
    def refuse(method: str, target: str):
        return (501, b"<Error><Code>NotImplemented</Code></Error>") if "uploads" in target else None

    with lying(url, refuse) as (through, _):
        (warning,) = ensure_store(through).warnings
        Archive(through).gc(grace=timedelta(0))

    assert warning.check_id == "raw_store.W005"
    assert "lifecycle rule" in warning.hint
    assert "partial uploads not swept: The store at" in caplog.text


def test_a_check_is_made_once_and_a_refusal_again(url):
    refusing = [True]

    def lie(method: str, target: str):
        return (403, b"") if refusing[0] else None

    with lying(url, lie) as (through, told):
        with pytest.raises(StoreRefused):
            ensure_store(through)
        refusing[0] = False
        ensure_store(through)
        asked = len(told)
        ensure_store(through)

    assert len(told) == asked


def test_a_folder_is_checked_in_the_same_way_and_left_as_it_was(tmp_path):
    report = check_store(str(tmp_path / "new" / "archive"))

    assert next(iter(report.steps)) == "a file can be made durable"
    assert list((tmp_path / "new" / "archive").iterdir()) == []


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreRefused, match="may be written to"):
        check_store(str(tmp_path / "file" / "archive"))


def test_an_archive_in_memory_is_a_warning():
    warnings = disk_warnings("/dev/shm/archive")

    assert warnings[0].check_id == "raw_store.W001"


def test_requests_are_signed_as_the_service_documents():
    # "Examples: Signature Calculations", GET Bucket Lifecycle, of the Amazon S3 API reference.
    store = uploads._Store(
        scheme="https",
        host="examplebucket.s3.amazonaws.com",
        bucket="examplebucket",
        prefix="",
        region="us-east-1",
        key="AKIAIOSFODNN7EXAMPLE",
        secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        token="",
        certificates=None,
    )

    headers = uploads._signed(store, "GET", "/", "lifecycle=", datetime(2013, 5, 24, tzinfo=UTC))

    assert headers["authorization"].endswith(
        "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    )
