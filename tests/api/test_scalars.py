"""Values on their way in and out: nothing is rounded, nothing is guessed."""

from datetime import time

import pytest

from tests.api.garden.models import Plant


def test_every_kind_of_column_is_shown(ask, garden):
    answer = ask(
        """{ plant(number: "9007199254740993") {
            number name plantedOn wateredAt wateringTime isEdible heightM seedCount serial notes
            leafScan bedId fetchId
        } }"""
    )

    assert answer["plant"] == {
        "number": "9007199254740993",
        "name": "Kale",
        "plantedOn": "2026-03-01",
        "wateredAt": "2026-03-02T06:30:00+00:00",
        "wateringTime": None,
        "isEdible": True,
        "heightM": 0.4,
        "seedCount": 2**40,
        "serial": "00000000-0000-0000-0000-000000000001",
        "notes": {"big": 2**70},
        "leafScan": "AP8=",
        "bedId": "n",
        "fetchId": "00000000-0000-0000-0000-000000000007",
    }


@pytest.mark.parametrize("number", ["2", '"2"', "2.0", '"2 "', "true"])
def test_a_big_integer_is_read_from_a_number_or_its_digits(ask, garden, number):
    is_read = number in ("2", '"2"')

    answer = ask(f"{{ plant(number: {number}) {{ name }} }}", fails=not is_read)

    assert (answer.get("plant") == {"name": "Oak"}) == is_read


def test_a_big_integer_beyond_64_bits_finds_nothing(ask, garden):
    answer = ask(f'{{ plantsCount(filters: {{seedCount: {{exact: "{2**80}"}}}}) }}')

    assert answer["plantsCount"] == 0


def test_a_decimal_is_exact_both_ways(ask, garden):
    question = "query ($area: Decimal) { beds(filters: {areaM2: {exact: $area}}) { areaM2 } }"

    for area in ("10.5", 10.5, "10.50000"):
        assert ask(question, area=area)["beds"] == [{"areaM2": "10.5000"}]
    assert "not a decimal number" in ask(question, area="NaN", fails=True).errors[0]
    assert "not a decimal number" in ask(question, area="1e9999", fails=True).errors[0]


def test_a_moment_without_offset_is_utc(ask, garden):
    question = "query ($at: DateTime) { plantsCount(filters: {wateredAt: {exact: $at}}) }"

    for moment in ("2026-03-02T06:30:00", "2026-03-02T06:30:00Z", "2026-03-02T08:30:00+02:00"):
        assert ask(question, at=moment)["plantsCount"] == 1
    assert "not a moment" in ask(question, at="2026-02-30T00:00:00", fails=True).errors[0]
    assert "not a moment" in ask(question, at="yesterday", fails=True).errors[0]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-00:01"])
@pytest.mark.parametrize("field", ["plantsCount", "plantsAggregate"])
def test_a_moment_that_utc_has_not_is_refused(ask, garden, field, moment):
    below = "" if field == "plantsCount" else "{ nodes { count } }"
    question = f"query ($at: DateTime) {{ {field}(filters: {{wateredAt: {{gt: $at}}}}) {below} }}"

    assert "years 1 to 9999" in ask(question, at=moment, fails=True).errors[0]


def test_a_time_of_day_has_no_offset(ask, garden):
    Plant.objects.filter(number=2).update(watering_time=time(6, 30))
    question = "query ($at: Time) { plantsCount(filters: {wateringTime: {lte: $at}}) }"

    for moment in ("06:30", "06:30:00", "06:30:00.000001"):
        assert ask(question, at=moment)["plantsCount"] == 1
    for other in ("06:30:00Z", "06:30:00+02:00", "24:00", "noon", 6):
        assert "without an offset" in ask(question, at=other, fails=True).errors[0]
