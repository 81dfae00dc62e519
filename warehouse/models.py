"""What the serving database holds of the rollups: which shape each table has."""

from django.db import models


class RollupTable(models.Model):
    """The shape in which a rollup's table was created."""

    table = models.CharField(primary_key=True, max_length=200)
    signature = models.CharField(max_length=64)
    """Digest of the statements that create the table."""

    def __str__(self) -> str:
        return self.table
