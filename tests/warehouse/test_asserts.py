"""Asserts: what fails, what the message shows, and what is refused."""

import pytest

from warehouse.errors import AssertFailed, HeaderInvalid
from warehouse.publish import current_build, publish

DAILY = "SELECT occurred_at::DATE AS day, count(*) AS n, max(magnitude) AS top FROM quakes_quake "
QUAKES = [("a", "2024-05-01 10:00Z", 4.5), ("b", "2024-05-02 23:59Z", None)]


def write(rollups, *asserts):
    lines = "".join(f"-- assert: {each}\n" for each in asserts)
    return rollups.write("daily", f"{lines}{DAILY}GROUP BY ALL ORDER BY day")


@pytest.mark.parametrize(
    "text",
    [
        "n = 1",
        "top > 4",
        "sum(n) = 2 AND min(day) = '2024-05-01'",
        "SELECT day FROM daily WHERE n > 1",
        "FROM quakes_quake WHERE magnitude > 9",
        "n > 0 -- never empty",
    ],
)
def test_what_holds_lets_the_build_through(rollups, text):
    write(rollups, text)

    made = rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES)})

    assert made.computed == {"daily"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("top > 5", '1 row is in the way, such as {"day":"2024-05-01","n":1,"top":4.5}'),
        ("sum(n) > 2", 'such as {"holds":false}'),
        ("SELECT day FROM daily", '2 rows are in the way, such as {"day":"2024-05-01"}'),
    ],
)
def test_what_does_not_hold_stops_the_build_and_shows_rows(rollups, text, shown):
    path = write(rollups, "n > 0", text)

    with pytest.raises(AssertFailed) as failure:
        rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES)})

    assert f"Rollup {path}: its assert `{text}` does not hold" in str(failure.value)
    assert shown in str(failure.value)
    assert failure.value.rollup == "daily"
    assert failure.value.assertion == text


def test_a_failing_assert_leaves_the_published_build_and_no_file(rollups):
    write(rollups, "n < 2")
    publish(rollups.build({"quakes_quake": rollups.copy_quakes(*QUAKES)}))
    published = current_build(rollups.warehouse)
    before = sorted(rollups.warehouse.rglob("*"))
    more = rollups.copy_quakes(*QUAKES, ("c", "2024-05-02 01:00Z", 1.0), name="more")

    with pytest.raises(AssertFailed):
        rollups.build({"quakes_quake": more}, changed={"quakes_quake"})

    assert current_build(rollups.warehouse) == published
    assert sorted(rollups.warehouse.rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("n", "it is a BIGINT; a condition is true or false"),
        ("m > 0", '"m" not found'),
        ("n >", "syntax error"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("SELECT code FROM quakes_station", "reads quakes_station; an assert reads the rollup"),
        ("day <= current_date", "current_date, whose answer changes"),
    ],
)
def test_an_assert_that_is_none_is_refused_when_the_file_is_read(rollups, text, problem):
    write(rollups, text)

    found, (error,) = rollups.discover()

    assert found == []
    assert isinstance(error, HeaderInvalid)
    assert f"its `-- assert: {text}` is no condition on its rows" in str(error)
    assert problem in str(error)
