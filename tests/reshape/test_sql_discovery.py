"""What a transform's SQL file must be, and what is said where it is not."""

import pytest
from django.core.management import CommandError, call_command

from raw_store.archive import Archive
from reshape import registry, sql_discovery
from reshape.checks import check_sql_transforms
from reshape.columns import columns_of
from reshape.errors import TransformInvalid
from reshape.replay import known_transforms
from reshape.sql_discovery import find_sql_transforms, read_transform
from reshape.sql_transform import select_of
from tests.making import make_payload
from tests.port.models import Vessel

GOOD = "-- feed: sample.pages\nSELECT\n  fetch_id,\n  url AS code,\n  'n' AS name\nFROM payloads"


@pytest.fixture
def write(tmp_path):
    def write(sql, name="author.sql"):
        path = tmp_path / name
        path.write_text(sql)
        return path

    return write


def refusal(path):
    with pytest.raises(TransformInvalid) as caught:
        read_transform("sample", path)
    return str(caught.value).replace(str(path), path.name)


def test_name_feed_and_model_come_from_the_file(write):
    plain = read_transform("sample", write(GOOD))
    named = read_transform("sample", write(f"-- name: people\n{GOOD}", "author.second.sql"))

    assert (plain.name, plain.feed, plain.source) == ("sample.author", "sample.pages", "sample")
    assert select_of(plain).model_label == "sample.Author"
    assert named.name == "sample.people"
    assert select_of(named).model_label == "sample.Author"


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (GOOD.replace("-- feed: sample.pages", "-- authors"),
         "line 1: it does not say whose payloads it reads; begin it with a line "
         "`-- feed: sample.NAME`"),
        (GOOD.replace("sample.pages", "quakes.day"),
         "line 1: it reads the feed 'quakes.day', and gives rows of sample"),
        (f"{GOOD}; SELECT 1", "line 1: it holds 2 statements; one SELECT is expected"),
        ("-- feed: sample.pages\nDELETE FROM payloads", "a statement of the kind DELETE"),
        (GOOD.replace("  'n' AS name", "  'n' AS name,\n  1 AS nmae_of"),
         "line 6: it returns the column 'nmae_of', which Author does not have; the closest are "
         "name"),
        (GOOD.replace("url AS code", "'m' AS mentor_id"),
         "it does not return the key column code of Author"),
        (GOOD.replace("'n' AS name", "NULL AS mentor_id"), "the column name of Author"),
        (GOOD.replace("  fetch_id,\n", ""), "it does not return fetch_id, by which a row"),
        (GOOD.replace("url AS code", "status AS code"),
         "line 4: its column code does not fit Author: it is SMALLINT, not text; cast it: "
         '"code"::VARCHAR'),
        (GOOD.replace("url AS code", "urll AS code"), "line 4: DuckDB cannot plan it"),
        (GOOD.replace("'n' AS name", "'n' AS name name"), "line 5: DuckDB cannot read it"),
        (GOOD.replace("'n'", "random()::VARCHAR"),
         "line 5: it uses random(), whose answer is not the payload's"),
        (GOOD.replace("'n'", "now()::VARCHAR"), "line 5: it uses now()"),
        (GOOD.replace("'n'", "current_timestamp::VARCHAR"), "line 5: it uses "),
        (GOOD.replace("'n'", "ago(INTERVAL 1 DAY)::VARCHAR"), "line 5: it uses ago()"),
        (GOOD.replace("'n'", "age(fetched_at)::VARCHAR"), "line 5: it uses age()"),
        (GOOD.replace("'n'", "fetched_at.age()::VARCHAR"), "line 5: it uses age()"),
        (GOOD.replace("'n'", "current_localtimestamp()::VARCHAR"), "it uses current_localtimest"),
        (GOOD.replace("'n'", "current_localtime()::VARCHAR"), "it uses current_localtime()"),
        (GOOD.replace("'n'", "pg_postmaster_start_time()::VARCHAR"), "it uses pg_postmaster"),
        (GOOD.replace("'n'", "getvariable('a')::VARCHAR"), "line 5: it uses getvariable()"),
        (f"{GOOD} USING SAMPLE 3", "it takes a sample"),
        (f"{GOOD}\nLIMIT 3", "line 7: its LIMIT counts over all payloads"),
        (GOOD.replace("FROM payloads", "FROM 'people.csv'"), "reads the table people.csv"),
        (GOOD.replace("FROM payloads", "FROM payloads, read_text('/etc/hosts')"),
         "line 6: it reads read_text()"),
        (GOOD.replace("FROM payloads", "FROM payloads JOIN information_schema.tables ON true"),
         "line 6: it reads the table information_schema.tables"),
        (GOOD.replace("FROM payloads", "FROM (VALUES ('a', 'b')) AS v (fetch_id, url)"),
         "it does not read payloads"),
        (GOOD.replace("'n'", "(count(*) OVER ())::VARCHAR"), "line 5: its window spans payloads"),
        (GOOD.replace("url AS code", "max(url) AS code").replace("fetch_id,", "max(fetch_id) AS "
         "fetch_id,"), "it sums up several payloads"),
        (GOOD.replace("'n'", "(SELECT max(url) FROM payloads)"), "its subquery reads other"),
        (GOOD.replace("SELECT", "SELECT DISTINCT ON (code)"), "its DISTINCT mixes payloads"),
        (GOOD.replace("  fetch_id", "  a.fetch_id").replace("url AS", "a.url AS").replace(
         "FROM payloads", "FROM payloads AS a JOIN payloads AS b ON a.url = b.url"),
         "line 6: it joins rows of different payloads"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_transform_is_told_where_and_why(write, sql, said):
    assert said in refusal(write(sql))


@pytest.mark.parametrize(
    "sql",
    [
        GOOD + " -- the end",
        GOOD + ";\n",
        GOOD.replace("url AS code", "max(url) AS code") + "\nGROUP BY fetch_id",
        GOOD.replace("url AS code", "max(url) AS code") + "\nGROUP BY ALL",
        GOOD.replace("url AS code", "max(url) AS code") + "\nGROUP BY 1",
        GOOD.replace("SELECT", "SELECT DISTINCT"),
        GOOD + "\nQUALIFY row_number() OVER (PARTITION BY fetch_id ORDER BY url) = 1",
        GOOD.replace("'n'", "(SELECT max(x) FROM unnest(['a', 'b']) AS u (x) LIMIT 1)"),
        GOOD.replace("FROM payloads", "FROM payloads JOIN (FROM payloads) AS q USING (fetch_id)")
        .replace("url AS", "payloads.url AS"),
        GOOD.replace("'n'", "age(fetched_at, TIMESTAMPTZ '2026-01-01 00:00:00Z')::VARCHAR"),
        GOOD.replace("'n'", "CASE WHEN status = 200 THEN 'n' ELSE error('no') END"),
        GOOD.replace("url AS code", "coalesce(list_filter(headers, "
                     "lambda h: h.name = 'a')[1].value, url) AS code"),
    ],
)  # fmt: skip
def test_what_stays_with_its_payload_is_taken(write, sql):
    transform = read_transform("sample", write(sql))

    rows = list(transform.function(make_payload("sample.pages", {}, url="http://a.example/")))

    assert [row.values["code"] for row in rows] == ["http://a.example/"]


@pytest.mark.parametrize("links", ["['c']", "json -> 'cargoes'", "NULL"])
def test_a_list_of_links_is_told_where_its_rows_go(links, tmp_path):
    path = tmp_path / "vessel.sql"
    required = ", ".join(f"'a' AS {c.name}" for c in columns_of(Vessel).given if c.is_required)
    path.write_text(
        f"-- feed: port.pages\nSELECT fetch_id, {required}, {links} AS cargoes FROM payloads"
    )

    with pytest.raises(TransformInvalid, match=r"list of links.*transforms/VesselCargo\.sql"):
        read_transform("port", path)


def test_unknown_model_is_told_the_closest(write):
    assert "no such model. Models, closest first: Author" in refusal(write(GOOD, "autor.sql"))


def test_broken_file_stops_its_sources_replay_and_no_other(write, monkeypatch):
    path = write("SELECT 1")
    good = write(GOOD, "author.second.sql")
    monkeypatch.setattr(
        sql_discovery, "_files", lambda: [("sample", path), ("sample", good), ("sample", good)]
    )
    find_sql_transforms()
    try:
        said = [str(message) for message in check_sql_transforms()]
        assert [message.id for message in check_sql_transforms()] == ["reshape.E009"] * 2
        assert "a transform is called sample.author_second already" in said[1]
        assert "sample.author_second" in registry._transforms
        assert known_transforms("quakes")
        with pytest.raises(TransformInvalid, match=r"author\.sql, line 1"):
            known_transforms("sample")
    finally:
        monkeypatch.undo()
        find_sql_transforms()
    assert "sample.author_second" not in registry._transforms
    assert check_sql_transforms() == []


def columns_of_bodies(bodies, capsys):
    """What `manage.py columns` prints of a feed that gave these, each from a page of its own."""
    pages = [
        make_payload("sample.pages", body, url=f"http://a.example/{number}")
        for number, body in enumerate(bodies)
    ]
    Archive().append_all("sample.pages", pages)
    call_command("columns", "sample.pages")
    return capsys.readouterr()


@pytest.mark.django_db(transaction=True)
def test_columns_writes_a_transform_that_works(home, tmp_path, capsys):
    bodies = [
        {"next": None, "authors": [{"code": "a", "fullName": "Ann", "books": [{"isbn": 1}]}]},
        {"next": "/2", "authors": [{"code": "b", "fullName": "Bo", "born": {"on": "1950-01-01"}}]},
        b"<html>",
    ]
    written, shown = columns_of_bodies(bodies, capsys)

    assert "Bodies read: 2." in shown
    assert "$.authors[*].books[*]" in shown
    assert 'record."fullName" AS full_name,  -- VARCHAR' in written
    assert 'record."born"."on" AS born_on  -- VARCHAR' in written
    path = tmp_path / "author.sql"
    path.write_text(
        written.replace("AS full_name,", "AS name").replace(
            '    record."born"."on" AS born_on  -- VARCHAR\n', ""
        )
    )
    function = read_transform("sample", path).function
    page = make_payload("sample.pages", bodies[1])
    assert [row.values for row in function(page)] == [
        {"code": "b", "name": "Bo", "mentor_id": None}
    ]
    with pytest.raises(Exception, match="there is no array at"):
        list(function(make_payload("sample.pages", {"authors": "none"})))
    with pytest.raises(CommandError, match=r"They lie at: \$\.authors\[\*\], "):
        call_command("columns", "sample.pages", path="$.x")
    with pytest.raises(CommandError, match="closest first: sample"):
        call_command("columns", "sample.page")


@pytest.mark.django_db(transaction=True)
def test_columns_leaves_bodies_out_that_nest_without_end(home, capsys):
    bodies = [{"authors": [{"code": "a"}]}, {"text": '"[[' * 200}, b"[" * 5_000 + b"]" * 5_000]
    written, shown = columns_of_bodies(bodies, capsys)

    assert "Bodies read: 2." in shown
    assert 'record."code" AS code' in written
