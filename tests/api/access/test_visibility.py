"""A token for single sources: what belongs to others is not there for it."""

import json

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from api.access import tokens

PRIVATE = "does not exist, or that this token does not show"


@pytest.fixture(autouse=True)
def closed(db, settings):
    settings.ANONYMOUS_READ = "nobody"
    tokens.forget()
    yield
    tokens.forget()


@pytest.fixture
def ask(db):
    secret = tokens.make_token("partner", scopes=["read"], sources=["sample"])

    def ask(question, *, secret=secret, operation=None, **variables):
        response = async_to_sync(AsyncClient().post)(
            "/graphql",
            json.dumps({"query": question, "variables": variables, "operationName": operation}),
            content_type="application/json",
            headers={"Authorization": f"Bearer {secret}"},
        )
        return response.json()

    return ask


def message(answer):
    (error,) = answer["errors"]
    return error["message"]


def test_its_own_source_is_shown(ask, library):
    question = '{ authors(filters: {books: {title: {exact: "Ants"}}}) { code books { title } } }'

    (author,) = ask(question)["data"]["authors"]

    assert author["code"] == "ada"


@pytest.mark.parametrize(
    "question",
    [
        "{ networks { code } }",
        "{ networksCount }",
        "{ authors { code } networks { code } }",
        "{ quakesDaily { day } }",
        "query A { authors { code } } query B { networks { code } }",
        "{ ...Others } fragment Others on Query { networks { code } }",
    ],
)
def test_another_source_is_not_there(ask, question):
    assert PRIVATE in message(ask(question))


@pytest.mark.parametrize(
    "question",
    [
        "{ runs { id } }",
        "{ feeds { name } }",
        "{ feedsCount }",
        "{ quarantineEntries { url } }",
        "{ heldRows { key } }",
        "{ sourceStates { source } }",
        "{ watermarks { feed } }",
    ],
)
def test_what_tells_of_every_source_is_not_there(ask, question):
    assert PRIVATE in message(ask(question))


@pytest.mark.parametrize(
    "question", ["{ __schema { types { name } } }", '{ __type(name: "Author") { name } }']
)
def test_the_schema_is_not_told(ask, question):
    assert "about the schema are not answered" in message(ask(question))


def test_a_type_s_name_is_told_to_those_who_see_it(ask, library):
    assert ask("{ authors { __typename } }")["data"]["authors"][0] == {"__typename": "Author"}


@pytest.mark.parametrize(
    "question",
    [
        "{ network { code } }",
        "{ authors { quake } }",
        "{ authors { code } } fragment F on Quak { code }",
        "query ($f: QuakeFilte) { authors { code } }",
    ],
)
def test_a_mistake_names_nothing_that_is_hidden(ask, question):
    told = json.dumps(ask(question))

    assert "Did you mean" not in told
    assert "Network" not in told


def test_what_does_not_exist_is_refused_in_the_same_words(ask):
    assert message(ask("{ networks { code } }")) == message(ask("{ nothing { code } }"))


def test_a_filter_in_a_variable_leads_no_further(ask, library):
    question = "query ($f: AuthorFilter) { authors(filters: $f) { code } }"

    answer = ask(question, f={"books": {"title": {"exact": "Ants"}}})

    assert answer["data"] == {"authors": [{"code": "ada"}]}


def test_a_filter_leads_into_no_hidden_source(ask, library):
    secret = tokens.make_token("others", scopes=["read"], sources=["port"])
    question = "query ($f: VesselFilter) { vessels(filters: $f) { __typename } }"

    shown = ask(question, secret=secret, f={})
    hidden = ask(question, secret=secret, f={"lines": {}})

    assert shown["data"] == {"vessels": []}
    assert PRIVATE in message(hidden)


@pytest.mark.parametrize(
    ("question", "variables"),
    [
        ("query A($f: VesselFilter = {lines: {}}) { vessels(filters: $f) { __typename } }", {}),
        (
            "query A($f: VesselFilter = {OR: [{NOT: [{lines: {}}]}]}) "
            "{ vesselsCount(filters: $f) }",
            {},
        ),
        (
            "query A($f: VesselFilter) { vesselsCount(filters: $f) } "
            "query B($f: PilotFilter) { pilotsCount(filters: $f) }",
            {"f": {"lines": {}}},
        ),
    ],
)
def test_no_variable_leads_into_a_hidden_source(ask, question, variables):
    secret = tokens.make_token("others", scopes=["read"], sources=["port"])

    answer = ask(question, secret=secret, operation="A", **variables)

    assert PRIVATE in message(answer)


def test_the_schema_is_told_to_nobody_where_that_is_said(ask, settings):
    settings.GRAPHQL_INTROSPECTION = False
    reader = tokens.make_token("reader", scopes=["read"])
    chief = tokens.make_token("chief", scopes=["admin"])
    question = "{ __schema { queryType { name } } }"

    assert "not answered here" in message(ask(question, secret=reader))
    assert ask(question, secret=chief)["data"]["__schema"]["queryType"]["name"] == "Query"


def test_the_front_page_names_no_other_source(ask, home):
    secret = tokens.make_token("page", scopes=["read"], sources=["sample"])

    page = async_to_sync(AsyncClient().get)("/", headers={"Authorization": f"Bearer {secret}"})

    assert "sample" in page.content.decode()
    assert "quakes" not in page.content.decode()
