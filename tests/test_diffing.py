"""A diff before publishing, against the live rows or an earlier version of the code."""

import json
import re
import threading

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from etl.diffing import find_diff
from etl.walk import refresh
from raw_store.archive import Archive
from reshape import registry
from reshape.against import versions_of
from reshape.link import link
from reshape.records import records_dir
from reshape.registry import transforms_of
from tests.making import make_payload
from tests.sample.models import Author

pytestmark = pytest.mark.django_db(transaction=True)

EDITED = "0123456789abcdef" * 4


@pytest.fixture
def archive(home):
    return Archive()


def put(archive, *names, minute=0):
    body = {
        "authors": [{"code": code, "name": name} for code, name in zip("abc", names, strict=False)]
    }
    archive.append_all("sample.pages", [make_payload("sample.pages", body, minute=minute)])


def replay(*arguments):
    """The exit code of a replay."""
    try:
        call_command("replay", *arguments, verbosity=0)
    except SystemExit as left:
        return left.code
    except CommandError as error:
        return error.returncode
    return 0


def edit_transform(monkeypatch, rename):
    """Let the transform of the pages be another code, which writes names otherwise."""
    (transform,) = [found for found in transforms_of("sample") if found.feed == "sample.pages"]

    def edited(payload):
        for author in payload.json()["authors"]:
            yield Author.row(code=author["code"], name=rename(author["name"]))

    changed = type(transform)(
        name=transform.name, feed=transform.feed, function=edited, code_digest=EDITED
    )
    monkeypatch.setitem(registry._transforms, transform.name, changed)


def test_exit_code_says_whether_anything_changes(archive, capsys):
    put(archive, "Ann")
    before = replay("sample", "--diff")
    refresh("sample")
    after = replay("sample", "--diff")

    assert (before, after, replay("nobody", "--diff")) == (1, 0, 2)
    assert Author.objects.count() == 1
    assert "a replay would change nothing" in capsys.readouterr().out


def test_whatever_goes_wrong_is_no_difference(archive, monkeypatch, capsys):
    def stumble(*arguments, **options):
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr("reshape.replay.link", stumble)

    assert replay("sample", "--diff") == 2

    assert "the disk is on fire" in capsys.readouterr().err


def test_what_is_loaded_meanwhile_does_not_show(archive, monkeypatch):
    put(archive, "Ann")
    refresh("sample")
    loads: list[threading.Thread] = []

    def link_and_be_overtaken(*arguments, **options):
        linked = link(*arguments, **options)
        if not loads:
            loads.append(threading.Thread(target=replay_beside, args=[archive]))
            loads[0].start()
            loads[0].join(1.0)
        return linked

    monkeypatch.setattr("reshape.replay.link", link_and_be_overtaken)

    diff = find_diff("sample")

    loads[0].join(30.0)
    assert diff.change_count == 0
    assert Author.objects.count() == 2


def replay_beside(archive):
    put(archive, "Ann", "Bo", minute=1)
    refresh("sample")
    connection.close()


def test_json_counts_samples_and_changed_columns(archive, capsys):
    put(archive, "Ann", "Bo")
    refresh("sample")
    Author.objects.filter(code="a").update(name="Edited")
    Author.objects.filter(code="b").delete()
    Author.objects.create(code="z", name="Extra", fetch_id=make_payload("x").fetch_id)

    assert replay("sample", "--diff", "--json") == 1

    diff = json.loads(capsys.readouterr().out)
    (table,) = [t for t in diff["tables"] if t["table"] == "sample_author"]
    assert (table["added"], table["changed"], table["removed"], diff["change_count"]) == (
        1,
        1,
        1,
        3,
    )
    assert table["changed_by_column"] == {"name": 1}
    assert table["samples"]["changed"] == [
        {"key": {"code": "a"}, "changes": {"name": {"was": "Edited", "is": "Ann"}}}
    ]
    assert [row["code"] for row in table["samples"]["added"]] == ["b"]
    assert [row["code"] for row in table["samples"]["removed"]] == ["z"]


def test_page_that_is_there_is_known_before_anything_is_compared(archive, home, capsys):
    (home / "diff.html").touch()

    assert replay("sample", "--diff", "--html", str(home / "diff.html")) == 2

    assert capsys.readouterr().out == ""


def test_page_stands_alone_and_escapes_every_value(archive, home):
    put(archive, "<script>alert('x')</script>", "Bo")
    added_at = "2026-01-01T10:00:00.5+00:00"
    book = {"code": "x", "title": "X", "author_id": "a", "added_at": added_at}
    books = make_payload("sample.pages", {"books": [book]}, url="http://library.example/books")
    archive.append_all("sample.pages", [books])
    file = home / "diff.html"

    assert replay("sample", "--diff", "--html", str(file)) == 1

    page = file.read_text()
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in page
    assert "3 added" in page
    assert "2026-01-01 10:00:00.500000+00:00" in page
    assert not re.search(r"<script|<link|<img|src=|href=|url\(|@import", page)
    assert replay("sample", "--diff", "--html", str(file)) == 2


def test_versions_are_compared_on_what_both_have_read(archive, monkeypatch, capsys):
    put(archive, "Ann", "Bo")
    refresh("sample")
    (earlier,) = [v for v in versions_of("sample") if v.transform == "sample.transform_pages"]
    edit_transform(monkeypatch, lambda name: name.replace("Ann", "Anna"))
    put(archive, "Ann", "Bo", "Cyd", minute=1)

    code = replay("sample", "--diff", "--json", "--against", earlier.fingerprint[:6])

    diff = json.loads(capsys.readouterr().out)
    (table,) = [t for t in diff["tables"] if t["table"] == "sample_author"]
    assert code == 1
    assert [version["fingerprint"] for version in diff["against"]] == [earlier.fingerprint]
    assert (table["added"], table["changed"], table["removed"]) == (0, 1, 0)
    assert table["samples"]["changed"][0]["changes"]["name"] == {"was": "Ann", "is": "Anna"}
    assert replay("sample", "--diff", "--against", "last") == 1
    assert Author.objects.get(code="a").name == "Ann"


def test_code_that_says_the_same_differs_from_no_earlier_version(archive, monkeypatch):
    put(archive, "Ann")
    refresh("sample")
    edit_transform(monkeypatch, str)

    assert replay("sample", "--diff", "--against", "last") == 0


def forget_column(label, name):
    """Let a version's record files be those of a model without this column."""
    for path in records_dir("sample_author", label).glob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns([name]), path)


def test_column_that_the_earlier_version_did_not_know_was_null(archive, monkeypatch, capsys):
    put(archive, "Ann")
    refresh("sample")
    (earlier,) = [v for v in versions_of("sample") if v.transform == "sample.transform_pages"]
    edit_transform(monkeypatch, str)
    forget_column(earlier.label, "name")

    assert replay("sample", "--diff", "--against", "last") == 1
    assert "~ a: name null → 'Ann'" in capsys.readouterr().out


def test_version_with_another_natural_key_is_refused(archive, monkeypatch):
    put(archive, "Ann")
    refresh("sample")
    (earlier,) = [v for v in versions_of("sample") if v.transform == "sample.transform_pages"]
    edit_transform(monkeypatch, str)
    forget_column(earlier.label, "code")

    with pytest.raises(CommandError, match="by another natural key than code"):
        call_command("replay", "sample", "--diff", "--against", "last")


def test_unknown_version_lists_the_known_ones_with_their_dates(archive, capsys):
    put(archive, "Ann")
    refresh("sample")
    (known,) = [v for v in versions_of("sample") if v.transform == "sample.transform_pages"]

    with pytest.raises(CommandError) as refused:
        call_command("replay", "sample", "--diff", "--against", "ffffffffffffffffffff")
    call_command("replay", "sample", "--versions")

    assert "has no version 'ffffffffffffffffffff'" in str(refused.value)
    assert f"{known.label}  {known.first_used_at:%Y-%m-%d %H:%M}" in str(refused.value)
    assert f"{known.label}  {known.first_used_at:%Y-%m-%d %H:%M}" in capsys.readouterr().out


def test_options_of_a_diff_need_one(archive):
    assert replay("sample", "--against", "last") == 2
    assert replay("sample", "--html", "diff.html") == 2
