"""What the garden says better than the generated types do."""

from collections.abc import Iterable

import strawberry
import strawberry_django
from django.db.models.functions import Length
from strawberry import auto

from . import models


@strawberry_django.type(models.Bed, extend=True)
class Bed:
    @strawberry.field(description="Code and name.")
    def caption(self: models.Bed) -> str:
        return f"{self.code}: {self.name}"


@strawberry_django.type(models.Shelf)
class Shelf:
    level: auto
    plant: auto


@strawberry_django.type(models.Label)
class Label:
    """A label as a visitor reads it."""

    language: auto
    text: auto
    plant: "Plant"  # type: ignore[name-defined]  # noqa: F821
    letter_count: int = strawberry_django.field(annotate=Length("text"))


@strawberry.type
class Query:
    @strawberry_django.field(description="The plant with the greatest height.")
    def tallest_plant(self) -> models.Plant | None:
        return models.Plant.objects.exclude(height_m=None).order_by("-height_m").first()

    @strawberry_django.field
    def all_beds(self) -> Iterable[models.Bed]:
        return models.Bed.objects.all()

    @strawberry_django.field
    def english_labels(self) -> Iterable[models.Label]:
        return models.Label.objects.filter(language="en").order_by("pk")
