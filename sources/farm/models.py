"""The farm of Dapplefen: what it grows, what its people ask for, what its shops charge.

Keys are the farm's own: every page and every answer names things by their slug.
"""

from django.db import models

from reshape.models import Derived


class Item(Derived):
    """Something that grows, is gathered or is made in Dapplefen, as the almanac describes it."""

    slug = models.CharField(primary_key=True, max_length=80)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=40)
    description = models.TextField()
    image_url = models.URLField(max_length=400)
    base_value = models.IntegerField()
    """In coins, before any shop adds to it."""

    def __str__(self) -> str:
        return self.name


class Quest(Derived):
    """A request pinned to the notice board: somebody wants items and gives something back."""

    slug = models.CharField(primary_key=True, max_length=120)
    title = models.CharField(max_length=200)
    text = models.TextField()
    giver = models.CharField(max_length=120)
    coins = models.IntegerField()
    """Paid on top of the rewarded items."""

    def __str__(self) -> str:
        return self.title


class QuestRequirement(Derived):
    """How many of an item a quest asks for."""

    pk = models.CompositePrimaryKey("quest", "item")
    quest = models.ForeignKey(Quest, models.PROTECT, related_name="requirements")
    item = models.ForeignKey(Item, models.PROTECT, related_name="required_by")
    quantity = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.quest_id} asks for {self.quantity} {self.item_id}"


class QuestReward(Derived):
    """How many of an item a quest gives back."""

    pk = models.CompositePrimaryKey("quest", "item")
    quest = models.ForeignKey(Quest, models.PROTECT, related_name="rewards")
    item = models.ForeignKey(Item, models.PROTECT, related_name="rewarded_by")
    quantity = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.quest_id} gives {self.quantity} {self.item_id}"


class Shop(Derived):
    """A place in Dapplefen that sells items."""

    slug = models.CharField(primary_key=True, max_length=80)
    name = models.CharField(max_length=120)
    keeper = models.CharField(max_length=120)

    def __str__(self) -> str:
        return self.name


class ShopPrice(Derived):
    """What a shop asks for an item now, as the item's almanac page lists it."""

    pk = models.CompositePrimaryKey("shop", "item")
    shop = models.ForeignKey(Shop, models.PROTECT, related_name="prices")
    item = models.ForeignKey(Item, models.PROTECT, related_name="prices")
    coins = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.item_id} costs {self.coins} at {self.shop_id}"


class DailyPrice(Derived):
    """What a shop asked for an item on one day: the price history, from the market sheet."""

    pk = models.CompositePrimaryKey("shop", "item", "day")
    shop = models.ForeignKey(Shop, models.PROTECT, related_name="daily_prices")
    item = models.ForeignKey(Item, models.PROTECT, related_name="daily_prices")
    day = models.DateField()
    coins = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.item_id} cost {self.coins} at {self.shop_id} on {self.day}"
