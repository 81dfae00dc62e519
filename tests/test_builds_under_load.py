"""Readers of GraphQL and of the published file while builds are published: none fails or mixes."""

import pytest

from bench.serve.builds import measure


@pytest.fixture(scope="module")
def met(tmp_path_factory):
    """What readers met while three builds were published."""
    return measure(tmp_path_factory.mktemp("home"), pages=3, step=200, clients=2)


def test_no_question_to_graphql_fails_or_mixes_two_states(met):
    assert met["builds_published"] == 3
    assert met["graphql"]["failures"] == []
    assert met["graphql"]["mixed"] == 0
    assert met["graphql"]["states_seen"] > 1


def test_no_reader_of_the_published_file_fails_or_mixes_two_builds(met):
    assert met["duckdb"]["failures"] == []
    assert met["duckdb"]["mixed"] == 0
    assert met["duckdb"]["builds_seen"] > 1
