"""The archive's index. All of it comes back from the segments with `archive reindex`."""

from django.db import models


class Segment(models.Model):
    """A sealed segment. A segment without this row is not acknowledged."""

    name = models.CharField(primary_key=True, max_length=64)
    """A UUIDv7: names sort by the time of sealing."""
    feed = models.CharField(max_length=200)
    path = models.CharField(max_length=500)
    """Below the archive's address."""
    row_count = models.BigIntegerField()
    body_bytes = models.BigIntegerField()
    """Of the bodies stored in it."""
    file_bytes = models.BigIntegerField()
    first_fetched_at = models.DateTimeField(null=True)
    last_fetched_at = models.DateTimeField(null=True)
    first_fetch_id = models.UUIDField(null=True)
    last_fetch_id = models.UUIDField(null=True)
    complete_runs = models.JSONField(default=list)
    """Runs known complete once this segment is: their ids, or "*" for every run with a row here."""
    sealed_at = models.DateTimeField()
    format_version = models.IntegerField(default=1)

    class Meta:
        indexes = [
            models.Index(fields=["feed", "name"]),
            models.Index(fields=["first_fetch_id", "last_fetch_id"]),
        ]

    def __str__(self) -> str:
        return f"{self.feed} {self.name}: {self.row_count} payloads"


class LatestVersion(models.Model):
    """The newest version of one request: a revisit names it, a conditional GET asks about it."""

    pk = models.CompositePrimaryKey("feed", "request_key")
    feed = models.CharField(max_length=200)
    request_key = models.CharField(max_length=64)
    url = models.TextField()
    fetch_id = models.UUIDField()
    """The fetch that confirmed it last."""
    payload_id = models.UUIDField()
    """The fetch that holds the body."""
    body_digest = models.CharField(max_length=64)
    etag = models.TextField(null=True)  # noqa: DJ001 -- an empty ETag is not a missing one
    last_modified = models.TextField(null=True)  # noqa: DJ001
    fetched_at = models.DateTimeField()
    sequence = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.feed} {self.url}: {self.body_digest[:12]}"
