"""Which answers hand out secrets, however they are looked for."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.redaction import answers
from ingest.redaction.names import Names
from ingest.redaction.rules import NO_RULES

NAMES = Names(NO_RULES, [])

names = st.sampled_from(["access_token", "jwt", "deviceCode", "a", 'quo"te', "b]", "[c", "token"])
texts = st.sampled_from(["x", "", "[", "]", 'x"', '":[', "\\", "],", "eyJ"])
leaves = st.one_of(texts, st.integers(0, 9), st.none())
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(names, values, max_size=4))
@example({"a": "[", "access_token": "x", "b": "]"})
@example({'quo"te': "[", "access_token": "x", "b]": 1})
@example({"a": '":[', "jwt": "x", "b": []})
def test_an_object_is_judged_as_if_all_of_it_was_read(document):
    for text in (json.dumps(document), json.dumps(document, ensure_ascii=False, indent=1)):
        expected = answers._json_hands_out(text, NAMES, is_login=False)

        assert answers.hands_out(text.encode(), NAMES, request_body=None) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"results": [{"access_token": "x"}]}', False),
        ('{"results": [1], "access_token": "x"}', True),
        ('{"access_token": "x", "results": [1]}', True),
        ('{"results": [1], "access_token": "x"', True),
        ('{"results": [1, {"access_token": "x"', True),
    ],
)
def test_what_is_in_a_list_is_data_and_what_is_beside_it_is_not(answer, expected):
    assert answers.hands_out(answer.encode(), NAMES, request_body=None) is expected
