"""What one asks of the result: GraphQL for rows and numbers together, SQL for anything at all."""

import asyncio
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Count

from api.schema import get_api
from raw_store.archive import Archive
from sources.farm.models import Quest, ShopPrice
from warehouse.rollups import rollup_model

GRAPHQL = """\
query ($quest: String!) {
  quest(slug: $quest) {
    title
    giver
    requirements {
      quantity
      item { name prices(order: [{coins: ASC}], pagination: {limit: 1}) { coins shop { name } } }
    }
    payload { url status }
  }
  farmQuestValue(filters: {questId: {exact: $quest}}) { requiredValue rewardedValue profit }
}"""

_PRICES = """\
SELECT item_id,
       arg_min(price.coins_min, day) AS first_price,
       arg_max(price.coins_min, day) AS last_price,
       last_price - first_price AS rise,
       any_value(required_count) AS wanted
FROM farm_price_daily AS price JOIN farm_item_demand USING (item_id)
GROUP BY item_id ORDER BY rise DESC, item_id LIMIT 5"""

_ARCHIVE = """\
SELECT feed, count(*) AS responses, count(body) AS bodies_kept,
       count(*) FILTER (status = 304) AS confirmed, count(*) FILTER (status >= 500) AS failures
FROM archive WHERE source = 'farm' GROUP BY feed ORDER BY feed"""


def questions() -> dict[str, str]:
    """What is asked in SQL, and how."""
    asked = {
        "Which items became dearer, and how many of them does the notice board ask for?": _PRICES
    }
    # The warehouse has views over the archive where that is a folder.
    if "://" not in settings.ARCHIVE_URL:
        asked["How much of what was fetched had to be kept? The archive is a table, too."] = (
            _ARCHIVE
        )
    return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A GraphQL answer, and whether the tables say the same."""

    quest: str
    data: Any
    is_right: bool


def ask_graphql() -> Answered:
    """Ask for the quest that shops have most to offer for; compare the answer with the tables."""
    offers = Quest.objects.annotate(offer_count=Count("requirements__item__prices"))
    quest = offers.order_by("-offer_count", "slug")[0].slug
    result = asyncio.run(get_api().schema.execute(GRAPHQL, variable_values={"quest": quest}))
    if result.errors:
        return Answered(
            quest=quest, data=[error.message for error in result.errors], is_right=False
        )
    return Answered(quest=quest, data=result.data, is_right=result.data == _expected(quest))


def _expected(slug: str) -> dict[str, Any]:
    """The answer that GRAPHQL should have, computed from the tables and the archive."""
    quest = Quest.objects.get(slug=slug)
    payload = Archive().read(quest.fetch_id)
    required = quest.requirements.select_related("item").order_by("item_id")
    value = rollup_model("farm_quest_value")._default_manager.filter(quest_id=slug).values().get()
    return {
        "quest": {
            "title": quest.title,
            "giver": quest.giver,
            "requirements": [
                {
                    "quantity": each.quantity,
                    "item": {"name": each.item.name, "prices": _cheapest(each.item_id)},
                }
                for each in required
            ],
            "payload": {"url": payload.url, "status": payload.status},
        },
        "farmQuestValue": [
            {
                "requiredValue": value["required_value"],
                "rewardedValue": value["rewarded_value"],
                "profit": value["profit"],
            }
        ],
    }


def _cheapest(item: str) -> list[dict[str, Any]]:
    prices = ShopPrice.objects.filter(item=item).select_related("shop")
    return [
        {"coins": price.coins, "shop": {"name": price.shop.name}}
        for price in prices.order_by("coins", "shop_id")[:1]
    ]
