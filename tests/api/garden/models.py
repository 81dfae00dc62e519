"""A garden: a column of every kind, links of every kind, and types written by hand."""

from django.db import models

from reshape.models import Derived


class Bed(Derived):
    """A bed in the garden."""

    code = models.CharField(primary_key=True, max_length=16)
    name = models.CharField(max_length=50, help_text="As the gardeners call it.")
    area_m2 = models.DecimalField(max_digits=12, decimal_places=4, null=True)

    def __str__(self) -> str:
        return self.name


class Plant(Derived):
    """A plant."""

    number = models.BigIntegerField(primary_key=True)
    bed = models.ForeignKey(Bed, null=True, on_delete=models.CASCADE)
    """Null while it stands in its pot."""
    name = models.TextField()
    planted_on = models.DateField(null=True)
    watered_at = models.DateTimeField(null=True)
    watering_time = models.TimeField(null=True)
    is_edible = models.BooleanField(null=True)
    height_m = models.FloatField(null=True)
    seed_count = models.PositiveBigIntegerField(null=True)
    serial = models.UUIDField(null=True)
    notes = models.JSONField(null=True)
    leaf_scan = models.BinaryField(null=True)

    def __str__(self) -> str:
        return self.name


class Shelf(Derived):
    """Where a plant that stands in its pot is kept: a plural of its own, a link to one."""

    plant = models.OneToOneField(Plant, primary_key=True, on_delete=models.CASCADE)
    level = models.IntegerField()

    def __str__(self) -> str:
        return f"level {self.level}"


class Visit(Derived):
    """An insect on a plant: a key that is a UUID, and a link that may be null."""

    id = models.UUIDField(primary_key=True)
    plant = models.ForeignKey(Plant, models.CASCADE, null=True, related_name="visits")
    insect = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.insect


class Label(Derived):
    """A label, by language."""

    pk = models.CompositePrimaryKey("plant", "language")
    plant = models.ForeignKey(Plant, on_delete=models.CASCADE, related_name="labels")
    language = models.CharField(max_length=2)
    text = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.text
