"""What the serving database holds of the rollups: their tables, and the asserts that failed."""

from django.db import models


class RollupTable(models.Model):
    """A rollup's table: the shape in which it was created, and how old its rows are."""

    table = models.CharField(primary_key=True, max_length=200)
    signature = models.CharField(max_length=64)
    """Digest of the statements that create the table."""
    computed_at = models.DateTimeField(null=True)
    """When the rows that it holds were computed; null before the first load."""

    def __str__(self) -> str:
        return self.table


class FailedAssert(models.Model):
    """An assert of a rollup that did not hold when a source was last replayed.

    Nothing of that replay was loaded; the entry is gone after the next one that is.
    """

    rollup = models.CharField(max_length=200)
    source = models.CharField(max_length=100, unique=True)
    """The source whose replay it stopped; empty where all rollups were computed afresh."""
    assertion = models.TextField()
    samples = models.JSONField()
    """Some of the rows in the way, each as a JSON text."""
    failed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.rollup}: {self.assertion}"
