"""Days of the farm through the whole program: afterwards the tables say what the world is."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync

from etl.walk import refresh
from ingest.models import Outcome
from ingest.pace import Patience
from ingest.runs import run_feed
from raw_store.archive import Archive
from reshape.models import HeldRow, QuarantineEntry, derived_models
from sources.farm.models import DailyPrice, Item, Quest, QuestRequirement, Shop, ShopPrice
from sources.farm.origin import Origin
from sources.farm.origin.world import date_of, smudged_item, world
from warehouse.rollups import rollup_model

FEEDS = ("farm.items", "farm.prices", "farm.quests")

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def play(home, monkeypatch):
    """`play(0, 1)` extracts both days, then replays; gives the last day's outcomes."""
    with Origin() as origin:
        monkeypatch.setenv("FARM_ORIGIN_URL", origin.url)
        archive = Archive()

        def play_days(*days):
            outcomes = {}
            for day in days:
                origin.day = day
                for name in FEEDS:
                    patience = Patience(attempts=2, base=0.01)
                    run = async_to_sync(run_feed)(name, archive, patience=patience)
                    outcomes[name] = run.outcome
            refresh("farm", archive=archive)
            return outcomes

        yield play_days


def items():
    return dict(Item.objects.values_list("slug", "base_value"))


def quests():
    return {quest.slug: quest.text for quest in Quest.objects.all()}


def prices():
    return {(price.shop_id, price.item_id): price.coins for price in ShopPrice.objects.all()}


def offered(day):
    return {(shop.slug, item): coins for shop in world(day).shops for item, coins in shop.prices}


def everything():
    return {
        model.__name__: sorted(map(str, model._default_manager.values_list()))
        for model in derived_models("farm")
    }


def test_the_tables_say_what_the_world_is(play):
    outcomes = play(0, 1, 2)

    today = world(2)
    assert set(outcomes.values()) == {Outcome.COMPLETE}
    assert items() == {item.slug: item.worth for item in today.items}
    assert quests() == {quest.slug: quest.text for quest in today.quests}
    assert prices() == offered(2)
    assert Shop.objects.count() == len(today.shops)


def test_the_price_history_holds_every_day(play):
    play(0, 1)

    history = {(row.shop_id, row.item_id, row.day): row.coins for row in DailyPrice.objects.all()}
    assert history == {
        (*key, date_of(day)): coins for day in (0, 1) for key, coins in offered(day).items()
    }


def test_what_names_a_withdrawn_item_is_held_until_the_item_returns(play):
    play(0, 1, 2)
    history = DailyPrice.objects.filter(item="thunder-cheese")
    assert (history.count(), HeldRow.objects.count()) == (0, 2)

    play(5)

    assert history.filter(day__lte=date_of(1)).count() == 2
    assert not HeldRow.objects.filter(target__contains="thunder-cheese").exists()


def test_the_storm_takes_nothing_away_and_the_market_goes_on(play):
    play(2)
    before = items(), quests(), prices()

    outcomes = play(3)

    assert outcomes == {
        "farm.items": Outcome.FAILED,
        "farm.prices": Outcome.COMPLETE,
        "farm.quests": Outcome.FAILED,
    }
    assert (items(), quests(), prices()) == before
    assert DailyPrice.objects.filter(day=date_of(3)).exists()


def test_the_smudged_page_leaves_its_item_as_it_was_last_read(play):
    play(2, 4)

    slug = smudged_item(4)
    entry = QuarantineEntry.objects.get()
    assert entry.url.endswith(f"/items/{slug}")
    assert "expected an amount such as '8 coins'" in entry.message
    last_read = [item.worth for item in world(2).items if item.slug == slug]
    assert [items()[slug]] == last_read
    assert set(items()) == {item.slug for item in world(4).items}


def test_the_rollups_agree_with_the_rows(play):
    play(0, 1)

    demand = rollup_model("farm_item_demand")._default_manager
    asked = sum(QuestRequirement.objects.values_list("quantity", flat=True))
    assert sum(demand.values_list("required_count", flat=True)) == asked
    worth = {item.slug: item.worth for item in world(1).items}
    for quest in world(1).quests:
        given = quest.coins + sum(worth[item] * n for item, n in quest.rewards)
        value: Any = rollup_model("farm_quest_value")._default_manager.get(quest_id=quest.slug)
        assert value.required_value == sum(worth[item] * n for item, n in quest.requires)
        assert value.profit == given - value.required_value


def test_replaying_again_changes_nothing(play):
    play(0, 2, 4)
    before = everything()

    changed = refresh("farm", trust_copies=False).loaded.changed_count

    assert changed == 0
    assert everything() == before
