"""What the rows are: one model per kind of thing, keyed by the id the publisher uses."""

from django.db import models

from reshape.models import Derived


class Station(Derived):
    """A place where something is measured."""

    code = models.CharField(primary_key=True, max_length=32)
    name = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.name


class Reading(Derived):
    """What a station measured at one moment."""

    pk = models.CompositePrimaryKey("station_id", "taken_at")
    station = models.ForeignKey(Station, models.CASCADE, related_name="readings")
    taken_at = models.DateTimeField()
    value = models.FloatField(null=True)
    """Null when the instrument was down."""

    def __str__(self) -> str:
        return f"{self.station_id} at {self.taken_at}"
