"""What is asked for: items, quests, and how many of an item a quest requires."""

from django.db import models

from reshape.models import Derived


class Item(Derived):
    """Something that a quest may require."""

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=200)
    image = models.CharField(max_length=300)
    value = models.IntegerField()

    class Meta:
        db_table = "item"

    def __str__(self) -> str:
        return self.name


class Quest(Derived):
    """A quest."""

    id = models.IntegerField(primary_key=True)
    title = models.CharField(max_length=200)
    image = models.CharField(max_length=300)
    text = models.TextField()

    class Meta:
        db_table = "quest"

    def __str__(self) -> str:
        return self.title


class Requirement(Derived):
    """How many of an item a quest requires."""

    id = models.IntegerField(primary_key=True)
    item = models.ForeignKey(Item, models.CASCADE, related_name="required_for")
    quest = models.ForeignKey(Quest, models.CASCADE, related_name="requires")
    quantity = models.IntegerField()

    class Meta:
        db_table = "requirement"

    def __str__(self) -> str:
        return f"requirement {self.id}"


class Sale(Derived):
    """A sale: for aggregates of ten million rows."""

    id = models.IntegerField(primary_key=True)
    shop = models.IntegerField()
    sold_at = models.DateTimeField()
    quantity = models.IntegerField()
    price = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        db_table = "sale"

    def __str__(self) -> str:
        return f"sale {self.id}"
