"""From the farm's pages to its models. Whatever a page promises and does not keep, raises."""

import re
from datetime import date
from typing import Any
from urllib.parse import urljoin

from reshape import Payload, Rows, transform

from .models import (
    DailyPrice,
    Item,
    Quest,
    QuestRequirement,
    QuestReward,
    Shop,
    ShopPrice,
)


@transform("farm.items")
def transform_items(payload: Payload) -> Rows:
    """An almanac page: the item, and what each shop asks for it now."""
    if payload.url.endswith("/items"):
        return  # the index only leads to the pages
    article = _one(payload.html(), "article.item")
    slug = article.attributes["data-slug"]
    yield Item.row(
        slug=slug,
        name=_one(payload.html(), "h1").text(),
        kind=_one(article, ".kind").text(),
        description=_one(article, ".description").text(),
        image_url=urljoin(payload.url, _one(article, "img").attributes["src"]),
        base_value=_coins(article, ".worth"),
    )
    for offer in article.css(".offers tr"):
        yield ShopPrice.row(
            shop_id=offer.attributes["data-shop"],
            item_id=slug,
            coins=int(_one(offer, ".coins").text()),
        )


@transform("farm.quests")
def transform_quests(payload: Payload) -> Rows:
    """One page of the notice board: the quests, what each requires and what it rewards."""
    for quest in payload.json()["quests"]:
        yield Quest.row(
            slug=quest["slug"],
            title=quest["title"],
            text=quest["text"],
            giver=quest["giver"]["name"],
            coins=quest["rewards"]["coins"],
        )
        for required in quest["requires"]:
            yield QuestRequirement.row(
                quest_id=quest["slug"], item_id=required["item"], quantity=required["quantity"]
            )
        for reward in quest["rewards"]["items"]:
            yield QuestReward.row(
                quest_id=quest["slug"], item_id=reward["item"], quantity=reward["quantity"]
            )


@transform("farm.prices")
def transform_prices(payload: Payload) -> Rows:
    """One day's market sheet: the shops, and what each asked for what it sold that day."""
    market = payload.xml()
    day = date.fromisoformat(market.attrib["date"])
    for shop in market.findall("shop"):
        slug = shop.attrib["id"]
        yield Shop.row(slug=slug, name=shop.attrib["name"], keeper=shop.attrib["keeper"])
        for price in shop.findall("price"):
            yield DailyPrice.row(
                shop_id=slug,
                item_id=price.attrib["item"],
                day=day,
                coins=int(price.attrib["coins"]),
            )


def _one(node: Any, selector: str) -> Any:
    """The element that the page promises to have."""
    found = node.css_first(selector)
    if found is None:
        raise ValueError(f"The page has no {selector}.")
    return found


def _coins(node: Any, selector: str) -> int:
    text = _one(node, selector).text().strip()
    amount = re.fullmatch(r"(\d+) coins?", text)
    if amount is None:
        raise ValueError(f"{selector} reads {text!r}; expected an amount such as '8 coins'.")
    return int(amount[1])
