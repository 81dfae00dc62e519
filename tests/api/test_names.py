"""What models are called in GraphQL, alone and where two want one name."""

import pytest

from api.errors import SchemaError
from api.names import Names, field_name, plural, settle, type_name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("fx_rate", "fxRate"),
        ("FxRate", "fxRate"),
        ("USState", "usState"),
        ("URL", "url"),
        ("depth_km", "depthKm"),
        ("area_m2", "areaM2"),
        ("Quake", "quake"),
    ],
)
def test_a_field_is_called_in_camel_case(name, shown):
    assert field_name(name) == shown


def test_a_type_is_called_in_pascal_case():
    assert type_name("quakes_daily") == "QuakesDaily"
    assert type_name("FxRate") == "FxRate"


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("quake", "quakes"),
        ("fxRate", "fxRates"),
        ("county", "counties"),
        ("day", "days"),
        ("status", "statuses"),
        ("address", "addresses"),
        ("box", "boxes"),
        ("branch", "branches"),
        ("shelf", "shelves"),
        ("tradePerson", "tradePeople"),
        ("analysis", "analyses"),
        ("news", "news"),
        ("weatherData", "weatherData"),
        ("quakeStats", "quakeStats"),
        ("route66", "route66s"),
    ],
)
def test_a_list_is_called_by_an_english_plural(one, many):
    assert plural(one) == many


def names(one, many):
    return Names(type=type_name(one), many=many, one=one)


def test_names_that_clash_are_prefixed_for_all_who_want_them():
    settled = settle(
        [
            ("farm", names("item", "items")),
            ("mine", names("item", "items")),
            ("mine", names("cart", "carts")),
        ],
        reserved=set(),
    )

    assert [(found.type, found.many, found.one) for found in settled] == [
        ("FarmItem", "farmItems", "farmItem"),
        ("MineItem", "mineItems", "mineItem"),
        ("Cart", "carts", "cart"),
    ]


def test_the_programs_own_names_are_never_given_away():
    own, theirs = settle(
        [(None, names("run", "runs")), ("ski", names("run", "runs"))], reserved={"Feed"}
    )

    assert own.many == "runs"
    assert theirs.many == "skiRuns"


def test_a_reserved_name_is_prefixed_even_when_nobody_else_wants_it():
    (found,) = settle([("farm", names("feed", "feeds"))], reserved={"feeds"})

    assert found.many == "farmFeeds"


def test_names_that_clash_within_one_source_are_refused():
    with pytest.raises(SchemaError, match=r"farm's FarmItem .* are both called FarmItem"):
        settle(
            [("farm", names("item", "items")), ("farm", names("item", "itemList"))], reserved=set()
        )
