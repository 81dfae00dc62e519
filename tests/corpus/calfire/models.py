"""An incident, a county, and which incident burns in which county."""

from django.db import models

from reshape.models import Derived


class County(Derived):
    """A county of California."""

    name = models.CharField(primary_key=True, max_length=40)

    class Meta:
        verbose_name_plural = "counties"

    def __str__(self) -> str:
        return self.name


class Incident(Derived):
    """A wildfire that is listed at the moment."""

    code = models.CharField(primary_key=True, max_length=36)
    """The publisher's `UniqueId`. Every incident was given a new one in 2023."""
    name = models.CharField(max_length=100)
    location = models.CharField(max_length=250)
    admin_unit = models.CharField(max_length=250, blank=True)
    latitude = models.FloatField()
    longitude = models.FloatField()
    acres = models.FloatField(null=True)
    percent_contained = models.FloatField(null=True)
    started_on = models.DateField()
    """As written: the publisher puts a Z behind local times, so the moment is not known."""
    updated_on = models.DateField()
    path = models.CharField(max_length=100)
    """Its page, below https://www.fire.ca.gov."""
    is_major = models.BooleanField(null=True)
    structures_destroyed_count = models.IntegerField(null=True)
    structures_damaged_count = models.IntegerField(null=True)
    personnel_count = models.IntegerField(null=True)
    crew_count = models.IntegerField(null=True)
    engine_count = models.IntegerField(null=True)
    helicopter_count = models.IntegerField(null=True)
    injury_count = models.IntegerField(null=True)
    fatality_count = models.IntegerField(null=True)

    def __str__(self) -> str:
        return self.name


class IncidentCounty(Derived):
    """An incident burns, or burned, in a county."""

    pk = models.CompositePrimaryKey("incident_id", "county_id")
    # The primary key begins with it, and is its index.
    incident = models.ForeignKey(Incident, models.CASCADE, related_name="counties", db_index=False)
    county = models.ForeignKey(County, models.CASCADE, related_name="incidents")

    class Meta:
        verbose_name_plural = "incident counties"

    def __str__(self) -> str:
        return str(self.pk)
