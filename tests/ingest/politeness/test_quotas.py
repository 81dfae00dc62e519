"""What rate-limit headers tell, in the forms that servers send them."""

import pytest

from ingest.politeness.quotas import Quota, quotas_told

NOW = 1_900_000_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"ratelimit": '"default";r=50;t=30'},
            [Quota(remaining=50, seconds=30)],
        ),
        (
            {"ratelimit-policy": '"burst";q=100;w=60', "ratelimit": '"burst";r=3;t=12'},
            [Quota(remaining=3, seconds=12, limit=100)],
        ),
        (
            {"ratelimit-policy": '"a";q=10;w=1, "daily";q=1000;w=86400;pk=:x:'},
            [Quota(limit=10, seconds=1), Quota(limit=1000, seconds=86400)],
        ),
        ({"ratelimit-policy": '"bytes";q=9;w=1;qu="content-bytes"'}, []),
        (
            {
                "ratelimit-limit": "100, 100;w=60",
                "ratelimit-remaining": "7",
                "ratelimit-reset": "9",
            },
            [Quota(remaining=7, seconds=9, limit=100)],
        ),
        (
            {"x-ratelimit-remaining": "4", "x-ratelimit-reset": str(int(NOW) + 90)},
            [Quota(remaining=4, seconds=90)],
        ),
        (
            {"x-ratelimit-remaining": "4", "x-ratelimit-reset": str(int(NOW * 1000) + 90_000)},
            [Quota(remaining=4, seconds=90)],
        ),
        (
            {"x-rate-limit-remaining": "0", "x-rate-limit-reset": "15", "x-rate-limit-limit": "5"},
            [Quota(remaining=0, seconds=15, limit=5)],
        ),
        ({"x-ratelimit-remaining": "soon", "x-ratelimit-reset": "later"}, []),
        ({"ratelimit": ";;;=,\"", "ratelimit-policy": "q=w"}, []),
    ],
)  # fmt: skip
def test_each_form_is_understood(headers, expected):
    assert quotas_told(headers, NOW) == expected


def test_plenty_asks_for_no_rate_and_little_is_made_to_last():
    assert Quota(remaining=900, seconds=60, limit=1000).rate(8) is None
    assert Quota(remaining=28, seconds=100, limit=1000).rate(8) == 0.2


def test_nothing_left_asks_for_a_pause_until_the_reset():
    assert Quota(remaining=0, seconds=42).pause() == 42
    assert Quota(remaining=1, seconds=42).pause() == 0
