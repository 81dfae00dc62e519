"""What two recorded histories say: wildfires of California, and power outages."""

from django.db import models

from reshape.models import Derived


class Incident(Derived):
    """A wildfire, as last reported."""

    code = models.CharField(primary_key=True, max_length=36)
    name = models.CharField(max_length=200)
    county = models.CharField(max_length=400, blank=True)
    started_on = models.DateField(null=True)
    lat = models.FloatField(null=True)
    lon = models.FloatField(null=True)
    acres = models.FloatField(null=True)
    contained_percent = models.FloatField(null=True)
    crew_count = models.IntegerField(null=True)
    engine_count = models.IntegerField(null=True)

    def __str__(self) -> str:
        return self.name


class Outage(Derived):
    """A power outage, as last reported."""

    code = models.CharField(primary_key=True, max_length=20)
    city = models.CharField(max_length=100, blank=True)
    cause = models.CharField(max_length=100, blank=True)
    started_at = models.DateTimeField(null=True)
    lat = models.FloatField(null=True)
    lon = models.FloatField(null=True)

    def __str__(self) -> str:
        return self.code


class Report(Derived):
    """How many customers were without power at one look."""

    pk = models.CompositePrimaryKey("outage", "seen_at")
    outage = models.ForeignKey(Outage, on_delete=models.CASCADE, related_name="reports")
    seen_at = models.DateTimeField()
    customer_count = models.IntegerField(null=True)
    crew_status = models.CharField(max_length=100, blank=True)

    def __str__(self) -> str:
        return f"{self.outage} at {self.seen_at}"
