"""The archive's index. All of it comes back from the segments with `archive reindex`."""

from typing import ClassVar

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
    incomplete_runs = models.JSONField(null=True)
    """Null: `complete_runs` alone says which runs are complete. A list: so is every other run with
    a row here."""
    sealed_at = models.DateTimeField()
    format_version = models.IntegerField(default=1)
    clustered = models.BooleanField(default=False)
    """Whether its rows are ordered by request and time: compaction made it."""
    first_request_key = models.CharField(max_length=64, null=True)  # noqa: DJ001
    last_request_key = models.CharField(max_length=64, null=True)  # noqa: DJ001

    class Meta:
        indexes = [
            models.Index(fields=["feed", "name"]),
            models.Index(fields=["first_fetch_id", "last_fetch_id"]),
        ]

    def __str__(self) -> str:
        return f"{self.feed} {self.name}: {self.row_count} payloads"


class SegmentKeys(models.Model):
    """Which requests a segment that is not clustered holds: where to look for one of them."""

    segment = models.OneToOneField(
        Segment, on_delete=models.CASCADE, primary_key=True, related_name="keys"
    )
    prefixes = models.BinaryField()
    """The first eight bytes of each row's request key, in the order of the rows."""

    def __str__(self) -> str:
        return f"keys of {self.segment_id}"


class ReplacedSegment(models.Model):
    """A segment's file whose rows are in another segment by now; deleted when no one reads it."""

    name = models.CharField(primary_key=True, max_length=64)
    path = models.CharField(max_length=500)
    """Below the archive's address."""
    replaced_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.path}, replaced at {self.replaced_at}"


class Erasure(models.Model):
    """That fetches were erased: when and how many, and nothing of what they were."""

    PENDING = "pending"
    LEFT = "left"
    DONE = "done"
    STATES: ClassVar = {
        PENDING: "under way, or interrupted",
        LEFT: "erased from the archive; the search found something elsewhere",
        DONE: "nothing is left",
    }

    id = models.UUIDField(primary_key=True)
    state = models.CharField(max_length=10, choices=STATES, default=PENDING)
    asked_by = models.CharField(max_length=10)
    """`url`, `key` or `where`."""
    asked_digest = models.CharField(max_length=64)
    """HMAC-SHA-256 of what was asked for, keyed with SECRET_KEY: who knows it can look it up."""
    feeds = models.JSONField()
    fetch_count = models.BigIntegerField()
    body_count = models.BigIntegerField()
    """Different bodies."""
    first_fetched_at = models.DateTimeField()
    last_fetched_at = models.DateTimeField()
    begun_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.fetch_count} fetches erased at {self.begun_at}: {self.state}"


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
