"""A currency, and what one euro costs in it on a day."""

from django.db import models

from reshape.models import Derived


class Currency(Derived):
    """A currency the bank quotes, or once quoted."""

    code = models.CharField(primary_key=True, max_length=3)
    """ISO 4217, such as `USD`."""

    class Meta:
        verbose_name_plural = "currencies"

    def __str__(self) -> str:
        return self.code


class Rate(Derived):
    """The reference rate of one currency on one working day."""

    pk = models.CompositePrimaryKey("day", "currency_id")
    day = models.DateField()
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="rates")
    per_euro = models.DecimalField(max_digits=15, decimal_places=6)
    """What one euro costs. Decimal: `0.80750` and `0.8075` are one rate."""

    def __str__(self) -> str:
        return f"{self.currency_id} on {self.day}: {self.per_euro}"
