"""Types and root fields that a source writes itself, in its `schema.py`."""

import pytest

from api.catalog import make_catalog
from api.discovery import find_written
from api.errors import SchemaError


def test_a_written_type_takes_the_place_of_the_generated_one(ask, garden):
    answer = ask('{ __type(name: "Label") { description fields { name } } }')

    names = {field["name"] for field in answer["__type"]["fields"]}
    assert answer["__type"]["description"] == "A label as a visitor reads it."
    assert names == {"language", "text", "plant", "letterCount", "payload"}


def test_a_written_type_has_its_hints_wherever_its_rows_are(ask, garden):
    answer = ask(
        """{
            labels(filters: {plantId: {exact: 2}}) { letterCount plant { name } }
            label(plantId: 3, language: "en") { letterCount }
            plant(number: 2) { labels(order: {text: ASC}) { text letterCount } }
        }"""
    )

    assert answer == {
        "labels": [
            {"letterCount": 5, "plant": {"name": "Oak"}},
            {"letterCount": 3, "plant": {"name": "Oak"}},
        ],
        "label": {"letterCount": 4},
        "plant": {
            "labels": [{"text": "Eiche", "letterCount": 5}, {"text": "Oak", "letterCount": 3}]
        },
    }


def test_an_extending_type_adds_to_the_generated_one(ask, garden):
    answer = ask("{ beds { code caption areaM2 plantsCount plants { name } } }")

    assert answer["beds"] == [
        {
            "code": "n",
            "caption": "n: North",
            "areaM2": "10.5000",
            "plantsCount": 2,
            "plants": [{"name": "Oak"}, {"name": "Kale"}],
        }
    ]


def test_an_extending_type_reads_columns_that_nobody_selected(ask, garden):
    answer = ask('{ plants(filters: {bed: {code: {exact: "n"}}}) { bed { caption } } }')

    assert answer["plants"] == [{"bed": {"caption": "n: North"}}] * 2


def test_written_root_fields_stand_beside_the_generated_ones(ask, garden):
    answer = ask(
        "{ tallestPlant { name bed { code } } englishLabels { letterCount plant { name } } }"
    )

    assert answer == {
        "tallestPlant": {"name": "Oak", "bed": {"code": "n"}},
        "englishLabels": [
            {"letterCount": 3, "plant": {"name": "Oak"}},
            {"letterCount": 4, "plant": {"name": "Aloe"}},
        ],
    }


def test_written_root_fields_give_rows_with_all_their_columns(ask, garden):
    answer = ask("{ allBeds { caption plants { name } payload { url } } }")

    assert answer["allBeds"] == [
        {"caption": "n: North", "plants": [{"name": "Oak"}, {"name": "Kale"}], "payload": None}
    ]


def test_a_relation_that_is_only_named_is_answered_like_a_generated_one(ask, garden):
    answer = ask("{ shelves { level plant { name shelf { level } } } }")

    assert answer["shelves"] == [{"level": 1, "plant": {"name": "Aloe", "shelf": {"level": 1}}}]


def test_rows_of_a_written_type_are_loaded_together(ask, garden, django_assert_num_queries):
    with django_assert_num_queries(3):
        ask("{ plants { labels { text letterCount plant { name } } } }")


def test_a_type_for_a_model_outside_the_schema_is_refused():
    nothing = make_catalog(derived=[], rollups=[], own={}, hidden={}, reserved=[])

    with pytest.raises(SchemaError, match=r"garden\.schema\.Bed .* not in the schema"):
        find_written(nothing)
