"""The headers of a rollup's file: what they say, and what is wrong with them."""

from datetime import timedelta

import pytest

from warehouse.errors import HeaderInvalid
from warehouse.headers import Refresh, read_headers

SELECT = "SELECT occurred_at::DATE AS day, count(*) AS n FROM quakes_quake GROUP BY ALL"


def test_headers_say_more_than_a_description():
    headers = read_headers(
        "-- Quakes per day.\n"
        "-- key: day, place\n"
        "-- link: place -> quakes.Station\n"
        "-- refresh: every 90m\n"
        "-- assert: n > 0\n"
        "-- assert: sum(n) > 10\n"
        f"{SELECT}"
    )

    assert headers.description == "Quakes per day."
    assert headers.key == ("day", "place")
    assert headers.links == {"place": "quakes.Station"}
    assert headers.refresh == Refresh(when="every", every=timedelta(minutes=90))
    assert headers.asserts == ["n > 0", "sum(n) > 10"]
    assert headers.misspelt == []


def test_without_headers_a_rollup_is_refreshed_on_change():
    headers = read_headers(f"-- Days: the ones with quakes.\n{SELECT}\n-- key: day")

    assert headers.key == ()
    assert str(headers.refresh) == "on change"
    assert headers.description == "Days: the ones with quakes."


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("-- key:", "is not a list of columns"),
        ("-- key: day,", "is not a list of columns"),
        ("-- key: day, day", "names a column twice"),
        ("-- key: day\n-- key: place", "two `-- key:` lines"),
        ("-- link: place Station", "is not a column and a model"),
        ("-- link: place -> A\n-- link: place -> B", "links the column place twice"),
        ("-- refresh: hourly", "none of `on change`, `always` and `every 1h`"),
        ("-- refresh: every 0h", "none of"),
        ("-- refresh: always\n-- refresh: always", "two `-- refresh:` lines"),
        ("-- assert:", "empty `-- assert:`"),
    ],
)
def test_a_malformed_header_says_what_is_expected(line, problem):
    with pytest.raises(HeaderInvalid, match=problem):
        read_headers(f"{line}\n{SELECT}")


def test_a_line_that_is_nearly_a_header_is_noticed():
    headers = read_headers(f"-- keys: day\n-- asserts: n > 0\n-- Note: one row a day.\n{SELECT}")

    assert len(headers.misspelt) == 2
    assert "looks like the header key" in headers.misspelt[0]


@pytest.mark.parametrize("text", ["on change", "always", "every 1h", "every 2d", "every 45s"])
def test_a_refresh_is_written_as_it_is_read(text):
    assert str(read_headers(f"-- refresh: {text}\n{SELECT}").refresh) == text
