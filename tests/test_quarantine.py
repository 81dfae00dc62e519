"""What a person does when a publisher changes its form: the quarantine's commands, end to end."""

import json
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command, load_command_class

from etl.erasing import Derived
from etl.follow import RETRY_AFTER_S, follow
from raw_store.archive import Archive
from raw_store.followers import Removed
from reshape import registry
from reshape.evidence import excerpt, printable
from reshape.models import QuarantineEntry
from reshape.sql_discovery import read_transform
from tests.making import make_payload
from tests.reshape.test_row_quarantine import FEED, NAME, author, by_row, limited, put
from tests.sample.models import Author
from tests.test_follow import Rounds

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def archive(home):
    return Archive()


def run(*words, **options):
    out = StringIO()
    call_command(*words, stdout=out, stderr=out, verbosity=0, **options)
    return out.getvalue()


def lines(*words):
    return [json.loads(line) for line in run(*words, "--json").splitlines()]


def test_the_walk_from_a_bad_row_to_a_good_one(archive, monkeypatch):
    by_row(monkeypatch)
    padding = [author(f"p{n}", "x" * 50) for n in range(50)]
    put(archive, *padding, author("b", 777_001), author("c", 777_002), minute=5)
    broken = make_payload(FEED, b'{"authors": [}', url="http://library.example/2", minute=9)
    archive.append_all(FEED, [broken])
    told = run("replay", "sample")
    assert "1 payload and 2 rows in quarantine: `manage.py quarantine sample` says why" in told

    rows, payload = lines("quarantine")
    assert (rows["row_count"], rows["payload_count"], rows["field"]) == (2, 0, "name")
    assert rows["message"].startswith(
        "Feed sample.pages: Author.name=…: it is int, not text. (line"
    )
    assert rows["values"] == ["777001", "777002"]
    assert (payload["payload_count"], payload["error"]) == (1, "BodyUnreadable")
    assert run("quarantine", "sample") == run("quarantine", "list", "--source", "sample")
    assert "2 rows of sample.pages, 2026-01-01 00:05 to 2026-01-01 00:05: RowInvalid" in run(
        "quarantine"
    )

    entry = rows["example"]
    shown = run("quarantine", "show", entry)
    assert "http://library.example/1" in shown
    assert "Author.name" in shown
    assert "yield Author.row(**author)" in shown
    assert '"name":77700' in shown
    assert '["' in shown
    assert f"manage.py quarantine retry {entry}" in shown
    assert "manage.py drift sample.pages" in shown
    whole = lines("quarantine", "show", payload["example"])[0]
    assert whole["excerpt"] == {"offset": 0, "found": "position", "text": '{"authors": [}'}
    assert whole["code"]["text"] == "body = payload.json()"

    put(archive, *padding, author("b", "Bo"), author("c", "Cy"), minute=6)
    put(archive, author("d"), page=2, minute=10)
    run("replay", "sample")
    assert [group["error"] for group in lines("quarantine")] == ["BodyUnreadable"]
    assert Author.objects.count() == 53


@pytest.fixture
def unread(archive, monkeypatch):
    """Two payloads and two rows in quarantine, of two feeds."""
    by_row(monkeypatch)
    put(archive, author("a"), author("b", 1), author("c", 2), minute=1)
    put(archive, author("a", None), feed="sample.loans", minute=2)
    put(archive, "nothing", feed="sample.loans", minute=3)
    run("replay", "sample")


CHOSEN = {
    "": 4,
    "sample": 4,
    "list sample.pages": 2,
    "--feed sample.loans": 2,
    f"--transform {NAME}": 2,
    "--error TypeError": 1,
    "--error Nonsense": 0,
    "--source sample --error RowInvalid --feed sample.loans": 1,
    "--limit 3": 3,
}


def test_entries_are_chosen_by_words_and_options(unread):
    found = {words: len(lines("quarantine", *words.split(), "--all")) for words in CHOSEN}

    assert found == CHOSEN


def test_every_entry_is_listed_on_its_own(unread):
    listed = run("quarantine", "--all")

    assert listed.count("RowInvalid") == 3
    entry = QuarantineEntry.objects.filter(ordinal__gt=0).first()
    assert entry is not None
    assert f"{entry.fetch_id}:{entry.ordinal}" in listed
    assert '["b"] Feed sample.pages' in listed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["quarantine", "smaple"], "Known sources, closest first: sample"),
        (["quarantine", "sample.pgaes"], "Known feeds, closest first: sample.pages"),
        (["quarantine", "--transform", "x"], "Known transforms, closest first"),
        (["quarantine", "show"], "Say which"),
        (["quarantine", "show", "00000000-0000-7000-8000-000000000000"], "has cleared itself"),
        (["quarantine", "show", "00000000-0000-7000-8000-000000000000:x"], "FETCH_ID:ORDINAL"),
        (["drift", "sample.nothing"], "Known feeds, closest first"),
        (["replay", "--watch", "--despite-quarantine"], "--watch minds every quarantine_limit"),
    ],
)
def test_a_mistake_is_told_with_what_there_is(home, words, message):
    with pytest.raises(CommandError, match=message):
        run(*words)


def test_an_entry_of_a_transform_in_sql_is_shown(archive, monkeypatch, tmp_path):
    path = tmp_path / "author.sql"
    path.write_text(
        f"-- feed: {FEED}\n"
        "SELECT fetch_id, json -> 'code' AS code, (json ->> 'n')::INTEGER::VARCHAR AS name "
        "FROM payloads"
    )
    in_sql = read_transform("sample", path)
    monkeypatch.setitem(registry._transforms, in_sql.name, in_sql)
    monkeypatch.delitem(registry._transforms, NAME)
    payload = make_payload(FEED, {"code": "a", "n": "many"})
    archive.append_all(FEED, [payload])
    run("replay", "sample")

    shown = run("quarantine", "show", str(payload.fetch_id))

    assert "Could not convert string 'many' to INT32" in shown
    assert '"n":"many"' in shown
    assert lines("quarantine", "show", str(payload.fetch_id))[0]["code"] is None


def test_rows_that_wait_are_listed_as_before(archive):
    book = {"books": [{"code": "x", "title": "X", "author_id": "zoe"}]}
    archive.append_all(FEED, [make_payload(FEED, book)])
    run("replay", "sample")

    assert run("quarantine", "--held") == """sample.Book ["x"] waits for author 'zoe'\n"""
    assert lines("quarantine", "sample", "--held")[0]["target"] == "zoe"
    assert run("quarantine") == "Nothing is in quarantine.\n"


def test_a_retry_says_how_many_now_read(archive, monkeypatch):
    can_read = []

    def outside(payload):
        if payload.url not in can_read:
            raise ImportError("the library is too old")
        yield Author.row(code="z", name="Zoe")

    known = registry._transforms[NAME]
    monkeypatch.setitem(
        registry._transforms, NAME, replace(known, function=outside, code_digest="outside")
    )
    for page in range(3):
        put(archive, page=page, minute=page)
    run("replay", "sample")
    can_read.append("http://library.example/1")
    assert "unchanged" in run("replay", "sample").split("sample_author")[1].splitlines()[0]

    told = run("quarantine", "retry", "--error", "ImportError")

    assert "3 payloads parsed again: 1 now read, 2 still in quarantine" in told
    assert Author.objects.get().name == "Zoe"
    can_read.append("http://library.example/2")
    (group,) = lines("quarantine")
    assert lines("quarantine", "retry", group["example"]) == [
        {"payloads": 1, "read": 1, "still_in_quarantine": 0}
    ]
    assert run("quarantine", "retry", "sample").startswith("1 payload parsed again: 0 now read")
    assert run("archive", "verify")


def test_beyond_its_limit_a_source_is_not_loaded_until_someone_says_so(
    archive, monkeypatch, capsys
):
    limited(monkeypatch, "10%")
    put(archive, author("a", "old"))
    run("replay", "sample")
    put(archive, author("a", "new"), minute=1)
    put(archive, author("b", 7), page=2, minute=1)

    with pytest.raises(
        CommandError, match=r"sample is not loaded: .* whose limit is 10%"
    ) as raised:
        run("replay", "sample")

    assert raised.value.returncode == 1
    assert Author.objects.get().name == "old"
    assert len(lines("quarantine")) == 1
    with pytest.raises(CommandError, match="not loaded"):
        run("replay", "sample", "--json")
    with pytest.raises(SystemExit):
        call_command("replay", "sample", "--diff")
    assert "over the limit: " in capsys.readouterr().out

    assert "over the limit: " in run("replay", "sample", "--despite-quarantine")
    assert Author.objects.get().name == "new"


def test_following_tries_again_only_when_something_was_archived(archive, monkeypatch, caplog):
    limited(monkeypatch, 0)
    put(archive, author("b", 7))
    rounds = Rounds(lambda: None, lambda: put(archive, author("b"), minute=1))

    with caplog.at_level("ERROR", logger="reshape.replay"):
        follow(["sample"], rounds)

    assert len([r for r in caplog.records if "sample is not loaded" in r.message]) == 1
    assert RETRY_AFTER_S not in rounds.pauses
    assert Author.objects.get().code == "b"


def test_no_limit_keeps_what_was_erased_in_the_rows(archive, monkeypatch):
    put(archive, author("a"))
    run("replay", "sample")
    limited(monkeypatch, 0)
    put(archive, author("b", 7), page=2, minute=1)
    put(archive, status=404, minute=2)

    Derived().renew(Removed(feeds=[FEED], fetch_ids=[], urls=[]))

    assert not Author.objects.exists()


def test_drift_is_told_with_times_and_counts(archive):
    said: list[dict[str, Any]] = [{}, {}, {"born": 1912}, {"born": "1912"}]
    for minute, more in enumerate(said):
        put(archive, author("a", f"A{minute}", **more), minute=minute)

    told = run("drift", FEED)
    (report,) = lines("drift", FEED)

    assert "sample.pages: 4 versions, 2026-01-01 to 2026-01-01, 6 fields" in told
    assert "changed type (1)\n  authors[].born" in told
    assert "integer 2026-01-01 00:02 to 2026-01-01 00:02 (1 versions)" in told
    found = {field["path"]: field["status"] for field in report["fields"]}
    assert found["authors[].born"] == ["appeared", "changed type"]
    assert found["authors[].name"] == []
    assert "every field (6)" in run("drift", FEED, "--all")
    assert "No drift" in run("drift", FEED, "--since", "2026-01-01T00:03")
    assert "no version with a body" in run("drift", "sample.loans")


@pytest.mark.parametrize(
    ("app", "name", "words"),
    [
        ("etl", "quarantine", ["retry", "FETCH_ID:ORDINAL", "examples:", "replay SOURCE --diff"]),
        ("reshape", "drift", ["examples:", "its keys are shown as *", "--since"]),
        ("etl", "replay", ["--despite-quarantine"]),
    ],
)
def test_help_teaches(app, name, words):
    text = load_command_class(app, name).create_parser("manage.py", name).format_help()

    assert [word for word in words if word not in text] == []


def entry_of(**fields: Any) -> QuarantineEntry:
    return QuarantineEntry(**{"message": "m", "value": "", "key": "", "field": "", **fields})


@pytest.mark.parametrize(
    ("entry", "found", "at"),
    [
        ({"message": "not JSON: line 1 column 8 (char 7)"}, "position", "h\n"),
        ({"message": "StartTag: invalid, line 2, column 3"}, "position", "second"),
        ({"value": "'é\"x'"}, "value", '"é\\"x"'),
        ({"value": "'abcdefgh…"}, "value", "abcdefgh"),
        ({"value": "77", "key": '["k2"]'}, "value", '77, "end'),
        ({"value": "True", "key": '["k2"]'}, "key", '"k2"'),
        ({"value": "None", "field": "second"}, "field", "second"),
        ({"value": "'nowhere'"}, "beginning", "abcdefgh"),
    ],
)
def test_the_excerpt_begins_near_what_is_wrong(entry, found, at, monkeypatch):
    monkeypatch.setattr("reshape.evidence.AROUND", 0)
    body = 'abcdefgh\n  second {"k1": 77, "k2": 77, "end": "é\\"x"}'
    payload = make_payload(FEED, body.encode())

    piece = excerpt(payload, entry_of(**entry))

    assert piece is not None
    assert piece.found == found
    assert body[piece.offset :].startswith(at)


def test_what_a_payload_says_cannot_steer_a_terminal():
    assert printable("a\x1b[2Jb\u202ec\n") == "a\\x1b[2Jb\\u202ec\n"
