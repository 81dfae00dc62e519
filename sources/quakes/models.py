"""An earthquake, and the seismic network that reports it."""

from django.db import models

from reshape.models import Derived


class Network(Derived):
    """A seismic network, by the code it contributes under: `ci` is Southern California's."""

    code = models.CharField(primary_key=True, max_length=16)

    def __str__(self) -> str:
        return self.code


class Quake(Derived):
    """A seismic event as the agency describes it at present; descriptions are revised for weeks."""

    keep_history = True

    code = models.CharField(primary_key=True, max_length=32)
    """The agency's event id, such as `ci38388032`."""
    network = models.ForeignKey(Network, models.PROTECT, related_name="quakes")
    """The network whose description the agency prefers."""
    kind = models.CharField(max_length=40, db_index=True)
    """`earthquake`, `quarry blast`, `explosion` and so on."""
    status = models.CharField(max_length=16, blank=True)
    """`automatic` or `reviewed` by a person; empty where the form does not say."""
    place = models.CharField(max_length=250)
    occurred_at = models.DateTimeField(db_index=True)
    updated_at = models.DateTimeField()
    """When the agency last revised its description."""
    latitude = models.FloatField()
    longitude = models.FloatField()
    depth_km = models.FloatField()
    """Below sea level: negative above it."""
    magnitude = models.FloatField(null=True, db_index=True)
    """Negative for the faintest; null while the agency has computed none."""
    magnitude_type = models.CharField(max_length=16, blank=True)
    """How it was computed, such as `ml` or `mww`."""
    is_rounded = models.BooleanField()
    """The Atom form said it: magnitude to one decimal, time to the second, no details."""
    significance = models.IntegerField(null=True)
    """From 0 to about 1000: magnitude, reports and estimated impact in one number."""
    felt_count = models.IntegerField(null=True)
    """Reports by people who felt it."""
    intensity_reported = models.FloatField(null=True)
    intensity_estimated = models.FloatField(null=True)
    alert = models.CharField(max_length=8, blank=True)
    """Expected impact: `green`, `yellow`, `orange` or `red`."""
    has_tsunami_link = models.BooleanField(null=True)
    """Large and in an oceanic region, so that the agency links to tsunami warnings."""
    station_count = models.IntegerField(null=True)
    nearest_station_degrees = models.FloatField(null=True)
    azimuthal_gap_degrees = models.FloatField(null=True)
    residual_seconds = models.FloatField(null=True)
    """Root mean square of the travel times' residuals."""

    def __str__(self) -> str:
        return f"{self.code}: {self.place}"
