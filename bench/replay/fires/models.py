"""One model of eight columns: text, numbers and a time."""

from django.db import models

from reshape.models import Derived


class Fire(Derived):
    """A made-up fire."""

    code = models.CharField(primary_key=True, max_length=40)
    lat = models.FloatField()
    lon = models.FloatField()
    acres = models.FloatField()
    crews = models.IntegerField()
    engines = models.IntegerField()
    name = models.CharField(max_length=80)
    updated = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
