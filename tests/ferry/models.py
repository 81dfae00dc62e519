"""A ferry company: its lines are served by vessels of the port."""

from django.db import models

from reshape.models import Derived
from tests.port.models import Vessel


class Line(Derived):
    """A line and the vessel that serves it."""

    code = models.CharField(primary_key=True, max_length=16)
    vessel = models.ForeignKey(Vessel, models.CASCADE, related_name="lines")

    def __str__(self) -> str:
        return self.code


class Stop(Derived):
    """A place where a line calls."""

    pk = models.CompositePrimaryKey("line", "place")
    line = models.ForeignKey(Line, models.CASCADE, related_name="stops")
    place = models.CharField(max_length=50)
    minutes = models.IntegerField(null=True)

    def __str__(self) -> str:
        return f"{self.line_id} at {self.place}"
