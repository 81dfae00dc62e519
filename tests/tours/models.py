"""Tours, which go by the ferry company's lines."""

from django.db import models

from reshape.models import Derived
from tests.ferry.models import Line


class Tour(Derived):
    """A tour by ferry."""

    code = models.CharField(primary_key=True, max_length=16)
    line = models.ForeignKey(Line, models.CASCADE, related_name="tours")

    def __str__(self) -> str:
        return self.code
