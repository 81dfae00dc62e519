"""What a source may declare, and what it is told when it cannot work."""

from datetime import UTC, datetime, timedelta

import pytest

from ingest import errors, extractor, registry
from raw_store import feeds
from raw_store.errors import UnknownFeed


@pytest.fixture(autouse=True)
def own_registries(monkeypatch):
    monkeypatch.setattr(registry, "_extractors", {})
    monkeypatch.setattr(feeds, "_feeds", {})


def test_a_declaration_makes_the_feed_known():
    @extractor("quakes.day", every="5m", current="all", keep_encoded=True, key_headers=["Accept"])
    async def extract_day(client):
        pass

    assert feeds.get("quakes.day") == feeds.Feed(
        name="quakes.day", current="all", keep_encoded=True, key_headers=("Accept",)
    )
    assert registry.get("quakes.day").function is extract_day
    assert registry.get("quakes.day").interval == timedelta(minutes=5)


@pytest.mark.parametrize("every", ["", "5", "m", "5 m", "-1m", "0s", "5w", "five minutes"])
def test_a_bad_interval_is_refused_with_an_example(every):
    with pytest.raises(errors.ExtractorInvalid, match=r"Feed quakes\.day: .*for example 30s"):
        extractor("quakes.day", every=every)


@pytest.mark.parametrize("cron", ["", "* * *", "61 * * * *", "0 0 31 2 *", "@daily"])
def test_a_bad_cron_expression_is_refused_with_an_example(cron):
    with pytest.raises(errors.ExtractorInvalid, match=r"Feed quakes\.day: .*not a cron expression"):
        extractor("quakes.day", cron=cron)


def test_every_and_cron_together_are_refused():
    with pytest.raises(errors.ExtractorInvalid, match="both every= and cron="):
        extractor("quakes.day", every="5m", cron="* * * * *")


def test_two_functions_cannot_extract_one_feed():
    @extractor("quakes.day")
    async def first(client):
        pass

    async def second(client):
        pass

    with pytest.raises(errors.ExtractorInvalid, match=r"two extractors: .*first and .*second"):
        extractor("quakes.day")(second)


def test_a_function_that_is_not_async_is_refused():
    def extract_day(client):
        pass

    with pytest.raises(
        errors.ExtractorInvalid, match=r"extract_day is not async; write `async def`"
    ):
        extractor("quakes.day")(extract_day)


def test_declaring_the_same_function_again_replaces_it():
    async def extract_day(client):
        pass

    extractor("quakes.day", every="5m")(extract_day)
    extractor("quakes.day", every="1h")(extract_day)

    assert registry.get("quakes.day").every == "1h"


def test_an_unknown_feed_is_answered_with_the_known_ones_closest_first():
    for name in ("fx.daily", "quakes.day", "quakes.week"):

        @extractor(name)
        async def extract(client):
            pass

    with pytest.raises(
        UnknownFeed, match=r"'quakes\.dya'.*: quakes\.day, quakes\.week, fx\.daily\."
    ):
        registry.get("quakes.dya")
    with pytest.raises(UnknownFeed, match=r"source 'quake'.*: quakes, fx\."):
        registry.select(["quake"])


def test_select_takes_feeds_and_sources_each_once():
    for name in ("fx.daily", "quakes.day", "quakes.week"):

        @extractor(name)
        async def extract(client):
            pass

    chosen = registry.select(["quakes.week", "quakes"])

    assert [each.name for each in chosen] == ["quakes.week", "quakes.day"]
    assert len(registry.select([])) == 3


def test_cron_is_read_in_utc():
    @extractor("fx.daily", cron="15 16 * * 1-5")
    async def extract(client):
        pass

    friday_evening = datetime(2026, 11, 20, 18, tzinfo=UTC)

    assert registry.get("fx.daily").next_after(friday_evening) == datetime(
        2026, 11, 23, 16, 15, tzinfo=UTC
    )
