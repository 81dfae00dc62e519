"""History: what a row was, from when to when, and who said so."""

import json
from dataclasses import replace

import duckdb
import pytest
from django.core.management import CommandError, call_command

from etl.walk import rebuild, refresh
from raw_store.archive import Archive
from reshape import registry
from reshape.columns import columns_of
from reshape.errors import HistoryUnknown
from reshape.history import _key_values, history
from reshape.sql import duck, duck_type
from tests.making import at, make_payload, run_id
from tests.port.models import Vessel
from tests.reshape.test_rejected_keys import KEY, Keyed
from tests.sample.models import Author, Book, Loan
from warehouse.publish import current_build

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def archive(home):
    return Archive()


def authors(*codes, name="Ann"):
    return {"authors": [{"code": code, "name": name} for code in codes]}


def told(states, field="name"):
    return [(state.values[field], state.valid_from, state.valid_to) for state in states]


def pages(archive, *bodies, feed="sample.pages", **more):
    """Archive a page at minute 0, 1, 2 and so on; a number is a status without a body."""
    payloads = [
        make_payload(feed, None if status else body, minute=minute, status=status or 200, **more)
        for minute, body in enumerate(bodies)
        for status in [body if isinstance(body, int) else None]
    ]
    archive.append_all(feed, payloads)
    return payloads


def test_states_follow_one_another(archive):
    first, second, _ = pages(
        archive, authors("a"), authors("a", name="Bo"), authors("a", "b", name="Bo")
    )

    states = history(Author, "a")

    assert told(states) == [("Ann", at(0), at(1)), ("Bo", at(1), None)]
    assert [state.fetch_id for state in states] == [first.fetch_id, second.fetch_id]
    assert [state.lasted for state in states] == [at(1) - at(0), None]


def test_gone_page_ends_a_state_and_a_page_that_is_back_begins_another(archive):
    pages(archive, authors("a"), 404, authors("a"))

    assert told(history(Author, "a")) == [("Ann", at(0), at(1)), ("Ann", at(2), None)]


def test_version_that_no_longer_mentions_the_row_ends_its_state(archive):
    pages(archive, authors("a", "b"), authors("b"))

    assert told(history(Author, "a")) == [("Ann", at(0), at(1))]


def test_unreadable_version_ends_nothing(archive):
    pages(archive, authors("a"), b"{", authors("a", name="Bo"))

    assert told(history(Author, "a")) == [("Ann", at(0), at(2)), ("Bo", at(2), None)]


def test_row_left_out_of_a_newer_complete_listing_is_gone_when_that_run_ends(archive):
    page = "http://library.example/{}".format
    archive.append_all(
        "sample.catalogue",
        [
            make_payload("sample.catalogue", authors("a"), url=page(1), run=1),
            make_payload("sample.catalogue", authors("b"), url=page(2), run=1, minute=1),
            make_payload("sample.catalogue", authors("c"), url=page(1), run=2, minute=2),
            make_payload("sample.catalogue", authors("d"), url=page(3), run=2, minute=3),
        ],
        complete_runs=True,
    )

    assert told(history(Author, "a")) == [("Ann", at(1), at(3))]
    assert told(history(Author, "d")) == [("Ann", at(3), None)]


def test_of_two_fetches_at_one_moment_the_later_in_its_run_counts(archive):
    archive.append_all(
        "sample.pages",
        [
            make_payload("sample.pages", authors("a", name=name), sequence=sequence)
            for sequence, name in enumerate(["first", "second"])
        ],
    )

    assert told(history(Author, "a")) == [("second", at(0), None)]


def test_of_runs_that_end_at_one_moment_the_one_with_the_greatest_id_lists(archive):
    numbers = sorted([1, 2], key=lambda number: str(run_id(number)))
    archive.append_all(
        "sample.catalogue",
        [
            make_payload(
                "sample.catalogue",
                authors("a", name=f"{at_} of them"),
                url=f"http://library.example/{at_}",
                run=number,
            )
            for at_, number in enumerate(numbers)
        ],
        complete_runs=True,
    )

    assert told(history(Author, "a")) == [("1 of them", at(0), None)]


def test_state_behind_another_shows_again_when_that_one_is_gone(archive):
    archive.append_all(
        "sample.pages",
        [
            make_payload("sample.pages", authors("a", name="one"), url="http://library.example/1"),
            make_payload(
                "sample.pages", authors("a", name="two"), url="http://library.example/2", minute=1
            ),
            make_payload(
                "sample.pages", None, url="http://library.example/2", minute=2, status=404
            ),
        ],
    )

    assert told(history(Author, "a")) == [
        ("one", at(0), at(1)),
        ("two", at(1), at(2)),
        ("one", at(2), None),
    ]


def test_row_that_waits_for_its_target_has_a_history(archive):
    pages(archive, {"books": [{"code": "x", "title": "X", "author_id": "nobody"}]})

    assert told(history(Book, "x"), "title") == [("X", at(0), None)]


def test_composite_key_is_given_value_by_value(archive):
    loan = {"book_id": "x", "day": "2026-01-01", "loan_count": 1}
    pages(archive, {"loans": [loan]}, {"loans": [loan | {"loan_count": 2}]}, feed="sample.loans")

    states = history(Loan, ("x", "2026-01-01"))

    assert told(states, "loan_count") == [(1, at(0), at(1)), (2, at(1), None)]


def test_unknown_key_has_no_state(archive):
    pages(archive, authors("a"))

    assert history(Author, "z") == []


@pytest.mark.parametrize(
    ("key", "words"),
    [("x", "is book_id, day: give 2"), (("x", "soon"), "day of sample.Loan is a DATE")],
)
def test_key_that_can_be_none_is_named(archive, key, words):
    with pytest.raises(HistoryUnknown, match=words):
        history(Loan, key)


@pytest.mark.parametrize(
    "uid", [KEY["uid"], str(KEY["uid"]).upper(), str(KEY["uid"]).replace("-", "")]
)
def test_key_is_read_as_its_columns_types(uid):
    texts = _key_values(Keyed, tuple((KEY | {"uid": uid}).values()))

    kinds = [duck_type(columns_of(Keyed).schema.field(name).type) for name in KEY]
    listed = ", ".join(f"?::{kind}" for kind in kinds)
    with duck() as connection:
        (found,) = connection.execute(f"SELECT {listed}", texts).fetchall()
    wanted = [*columns_of(Keyed).convert(KEY)]
    assert list(found) == wanted


def test_command_tells_what_changed_and_who_said_so(archive, capsys):
    first, second, *_ = pages(archive, authors("a"), authors("a", name="Bo"), 404)

    call_command("history", "sample.author", "a")

    assert capsys.readouterr().out.splitlines() == [
        "sample.Author a: 2 states",
        "2026-01-01 00:00:00 → 2026-01-01 00:01:00  (0:01:00)",
        "    code = 'a'",
        "    name = 'Ann'",
        "    mentor_id = null",
        f"    said by {first.fetch_id}  http://library.example/",
        "2026-01-01 00:01:00 → 2026-01-01 00:02:00  (0:01:00)",
        "    name: 'Ann' → 'Bo'",
        f"    said by {second.fetch_id}  http://library.example/",
        "2026-01-01 00:02:00   gone",
    ]


def test_command_prints_json(archive, capsys):
    (payload,) = pages(archive, authors("a"))

    call_command("history", "sample.Author", "a", "--json")

    assert json.loads(capsys.readouterr().out) == {
        "valid_from": "2026-01-01T00:00:00+00:00",
        "valid_to": None,
        "fetch_id": str(payload.fetch_id),
        "values": {"code": "a", "name": "Ann", "mentor_id": None},
    }


def test_whole_model_is_written_into_a_file(archive, home, capsys):
    pages(archive, authors("a", "b"), authors("a", name="Bo"))

    for name in ("states.parquet", "states.duckdb"):
        call_command("history", "sample.Author", "--all", "--into", str(home / name))

    count = "SELECT code, name, epoch_us(valid_to) IS NULL FROM {} ORDER BY code, valid_from"
    expected = [("a", "Ann", False), ("a", "Bo", True), ("b", "Ann", False)]
    assert duckdb.sql(count.format(f"'{home / 'states.parquet'}'")).fetchall() == expected
    with duckdb.connect(home / "states.duckdb", read_only=True) as connection:
        assert connection.sql(count.format("sample_author_history")).fetchall() == expected
    assert sorted(path.name for path in home.glob("*states*")) == [
        "states.duckdb",
        "states.parquet",
    ]
    with pytest.raises(CommandError, match="exists already"):
        call_command("history", "sample.Author", "--all", "--into", str(home / "states.duckdb"))


def test_command_names_the_closest_model(archive):
    with pytest.raises(CommandError, match=r"no derived model 'sample.Autor'.*sample.Author"):
        call_command("history", "sample.Autor", "a")


@pytest.fixture
def kept(monkeypatch):
    monkeypatch.setattr(Author, "keep_history", True)


def in_build(query):
    with duckdb.connect(current_build(), read_only=True) as connection:
        return connection.sql(query).fetchall()


def test_build_has_a_view_of_a_history_that_is_kept(archive, kept):
    states = "SELECT code, name FROM sample_author_history ORDER BY valid_from"
    pages(archive, authors("a"), authors("a", name="Bo"))

    refresh("sample")
    after_two = in_build(states)
    first_build = current_build()
    refresh("sample")
    same_build = current_build()
    archive.append_all("sample.pages", [make_payload("sample.pages", authors("b"), minute=5)])
    refresh("sample")
    in_the_background = in_build(states)
    refresh("sample", trust_copies=False)

    assert after_two == [("a", "Ann"), ("a", "Bo")]
    assert same_build == first_build
    assert in_the_background == after_two
    assert in_build(states) == [("a", "Ann"), ("a", "Bo"), ("b", "Ann")]


def test_erasure_takes_states_out_of_the_kept_history(archive, home, kept):
    address = "http://library.example/2"
    archive.append_all("sample.pages", [make_payload("sample.pages", authors("a"))])
    archive.append_all(
        "sample.pages", [make_payload("sample.pages", authors("s", name="Secret"), url=address)]
    )
    refresh("sample")
    before = in_build("SELECT name FROM sample_author_history ORDER BY name")

    call_command("archive", "erase", "sample.pages", "--url", address, "--yes", verbosity=0)

    files = list((home / "warehouse" / "models" / "sample_author_history").glob("*.parquet"))
    assert before == [("Ann",), ("Secret",)]
    assert in_build("SELECT name FROM sample_author_history") == [("Ann",)]
    assert len(files) == 1


def test_build_of_rollups_alone_keeps_the_histories(archive, kept):
    pages(archive, authors("a"))
    refresh("sample")

    rebuild()

    assert in_build("SELECT code, valid_to FROM sample_author_history") == [("a", None)]


def test_kept_history_has_what_a_retry_read(archive, kept, monkeypatch):
    is_broken = True

    def transform_pages(payload):
        if is_broken:
            raise ImportError("a library is missing")
        for author in payload.json()["authors"]:
            yield Author.row(**author)

    pages_ = registry._transforms["sample.transform_pages"]
    monkeypatch.setitem(
        registry._transforms, pages_.name, replace(pages_, function=transform_pages)
    )
    pages(archive, authors("a"))
    call_command("replay", "sample", verbosity=0)
    before = in_build("SELECT name FROM sample_author_history")
    is_broken = False

    call_command("quarantine", "retry", "sample", verbosity=0)

    assert before == []
    assert in_build("SELECT name FROM sample_author_history") == [("Ann",)]


def test_kept_history_follows_another_precedence(archive, monkeypatch):
    monkeypatch.setattr(Vessel, "keep_history", True)
    for minute, feed in enumerate(["port.registry", "port.sightings"]):
        vessel = {"vessels": [{"code": "v", "name": feed}]}
        archive.append_all(feed, [make_payload(feed, vessel, minute=minute)])
    names = "SELECT name FROM port_vessel_history ORDER BY valid_from"
    refresh("port", asked=True)
    before = in_build(names)

    monkeypatch.setattr(Vessel, "precedence", {"name": ["port.sightings", "port.registry"]})
    refresh("port", asked=True)

    assert before == [("port.registry",)]
    assert in_build(names) == [("port.registry",), ("port.sightings",)]
