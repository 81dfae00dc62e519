"""A port: records that tell parts of a row, lists of links, and rows that need each other."""

from typing import ClassVar

from django.db import models

from reshape.models import Derived


class Cargo(Derived):
    """What may be carried."""

    code = models.CharField(primary_key=True, max_length=16)
    label = models.CharField(max_length=50, default="unnamed")

    def __str__(self) -> str:
        return self.code


class Vessel(Derived):
    """A vessel as several feeds know it, each a part."""

    merge = "fields"
    precedence: ClassVar = {"name": ["port.registry", "port.sightings"]}

    code = models.CharField(primary_key=True, max_length=16)
    name = models.CharField(max_length=50)
    flag = models.CharField(max_length=50, null=True)  # noqa: DJ001
    length_m = models.IntegerField(default=7)
    tender = models.ForeignKey("self", models.CASCADE, null=True, related_name="tended")
    cargoes = models.ManyToManyField(Cargo, through="VesselCargo", related_name="vessels")

    def __str__(self) -> str:
        return self.name


class VesselCargo(Derived):
    """A vessel may carry a cargo."""

    pk = models.CompositePrimaryKey("vessel", "cargo")
    vessel = models.ForeignKey(Vessel, models.CASCADE, related_name="carries")
    cargo = models.ForeignKey(Cargo, models.CASCADE, related_name="carried")

    def __str__(self) -> str:
        return f"{self.vessel_id} carries {self.cargo_id}"


class Boat(Derived):
    """A pilot's boat."""

    code = models.CharField(primary_key=True, max_length=16)
    pilot = models.ForeignKey("Pilot", models.CASCADE, related_name="boats")

    def __str__(self) -> str:
        return self.code


class Pilot(Derived):
    """A pilot, who has a boat that has a pilot."""

    code = models.CharField(primary_key=True, max_length=16)
    boat = models.ForeignKey(Boat, models.CASCADE, related_name="pilots")

    def __str__(self) -> str:
        return self.code
