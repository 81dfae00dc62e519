"""A power outage, the city it is in, and what the map said of it at each time."""

from django.db import models

from reshape.models import Derived


class City(Derived):
    """A city or town, as the utility writes it."""

    name = models.CharField(primary_key=True, max_length=60)

    class Meta:
        verbose_name_plural = "cities"

    def __str__(self) -> str:
        return self.name


class Snapshot(Derived):
    """The map at one time."""

    taken_at = models.DateTimeField(primary_key=True)
    outage_count = models.IntegerField()
    is_cut_off = models.BooleanField()
    """It holds as many outages as the server gives at most; there may have been more."""

    def __str__(self) -> str:
        return f"{self.taken_at}: {self.outage_count} outages"


class Outage(Derived):
    """A power outage: what the newest snapshot that shows it says."""

    code = models.CharField(primary_key=True, max_length=20)
    """The utility's id: a number until December 2025, text since; text here."""
    city = models.ForeignKey(City, models.PROTECT, related_name="outages")
    extent = models.CharField(max_length=40)
    device = models.CharField(max_length=60)
    circuit = models.BigIntegerField(null=True)
    latitude = models.FloatField()
    longitude = models.FloatField()
    started_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.code


class Sighting(Derived):
    """An outage in one snapshot: what changes while it lasts."""

    pk = models.CompositePrimaryKey("outage_id", "seen_at")
    # The primary key begins with it, and is its index.
    outage = models.ForeignKey(Outage, models.CASCADE, related_name="sightings", db_index=False)
    seen_at = models.DateTimeField()
    customer_count = models.IntegerField()
    """Estimated."""
    crew_status = models.CharField(max_length=40)
    cause = models.CharField(max_length=60, blank=True)
    revised_at = models.DateTimeField()
    restoration_expected_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.pk)
