"""The farm's transforms, on the bytes that the bundled origin really serves."""

import json
from datetime import UTC, datetime

import pytest

from raw_store.ids import derived_id
from raw_store.payload import Payload, digest, request_key
from reshape.models import Row
from sources.farm.models import (
    DailyPrice,
    Item,
    Quest,
    QuestRequirement,
    QuestReward,
    Shop,
    ShopPrice,
)
from sources.farm.origin.pages import answer
from sources.farm.origin.world import date_of, smudged_item, world
from sources.farm.transform import transform_items, transform_prices, transform_quests

BASE = "http://127.0.0.1:8799"
FETCHED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def fetched(feed, path, day):
    """The payload that an extractor would have archived."""
    found = answer(path, day)
    assert found.status == 200
    return Payload(
        fetch_id=derived_id(FETCHED_AT, path, str(day)),
        run_id=derived_id(FETCHED_AT, feed),
        sequence=0,
        feed=feed,
        url=BASE + path,
        request_key=request_key("GET", BASE + path),
        status=200,
        content_type=found.content_type,
        fetched_at=FETCHED_AT,
        body=found.body,
        body_digest=digest(found.body),
    )


def rows_of(model, rows):
    return [row.values for row in rows if row.model is model]


@pytest.mark.parametrize("day", [0, 1, 2, 5, 9])
def test_item_pages_give_the_items_and_their_offers(day):
    today = world(day)

    rows = [
        row
        for item in today.items
        for row in transform_items(fetched("farm.items", f"/items/{item.slug}", day))
    ]

    assert rows_of(Item, rows) == [
        {
            "slug": item.slug,
            "name": item.name,
            "kind": item.kind,
            "description": item.description,
            "image_url": f"{BASE}/images/{item.slug}.svg",
            "base_value": item.worth,
        }
        for item in today.items
    ]
    offers = {(row["shop_id"], row["item_id"]): row["coins"] for row in rows_of(ShopPrice, rows)}
    assert offers == {
        (shop.slug, item): coins for shop in today.shops for item, coins in shop.prices
    }


def test_the_index_gives_no_rows():
    assert list(transform_items(fetched("farm.items", "/items", 0))) == []


@pytest.mark.parametrize("day", [4, 11, 18])
def test_the_smudged_page_raises_and_says_what_it_expected(day):
    payload = fetched("farm.items", f"/items/{smudged_item(day)}", day)

    with pytest.raises(ValueError, match=r"\.worth reads .*; expected an amount"):
        list(transform_items(payload))


def test_a_page_without_an_item_raises():
    payload = fetched("farm.items", "/", 0)

    with pytest.raises(ValueError, match=r"The page has no article\.item"):
        list(transform_items(payload))


@pytest.mark.parametrize("day", [0, 2, 5, 9])
def test_notices_give_quests_with_what_they_require_and_reward(day):
    rows: list[Row] = []
    link = "/api/quests?page=1"
    while link:
        payload = fetched("farm.quests", link, day)
        rows += transform_quests(payload)
        link = json.loads(payload.body)["next"]

    quests = world(day).quests
    assert rows_of(Quest, rows) == [
        {
            "slug": quest.slug,
            "title": quest.title,
            "text": quest.text,
            "giver": quest.giver,
            "coins": quest.coins,
        }
        for quest in quests
    ]
    for model, asked in ((QuestRequirement, "requires"), (QuestReward, "rewards")):
        assert rows_of(model, rows) == [
            {"quest_id": quest.slug, "item_id": item, "quantity": quantity}
            for quest in quests
            for item, quantity in getattr(quest, asked)
        ]


@pytest.mark.parametrize("day", [0, 3, 4, 10])
def test_the_market_sheet_gives_shops_and_the_days_prices(day):
    rows = list(transform_prices(fetched("farm.prices", "/market/prices.xml", day)))

    shops = world(day).shops
    assert rows_of(Shop, rows) == [
        {"slug": shop.slug, "name": shop.name, "keeper": shop.keeper} for shop in shops
    ]
    assert rows_of(DailyPrice, rows) == [
        {"shop_id": shop.slug, "item_id": item, "day": date_of(day), "coins": coins}
        for shop in shops
        for item, coins in shop.prices
    ]
