"""Models of this stage: runs, the state of each feed, watermarks, what hosts asked for, notices."""

from django.db import models

from raw_store.ids import new_id


class Outcome(models.TextChoices):
    """How a run ended."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Run(models.Model):
    """One execution of one extractor."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    feed = models.CharField(max_length=200)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField()
    """When its process was last seen alive."""
    outcome = models.CharField(max_length=20, choices=Outcome, default=Outcome.RUNNING)
    payload_count = models.BigIntegerField(default=0)
    """Payloads acknowledged: sealed and in the index."""
    received_bytes = models.BigIntegerField(default=0)
    """Bytes of bodies as transferred, over all attempts."""
    failure_count = models.BigIntegerField(default=0)
    """Fetches that ended in an error or an error status, those repeated with success included."""
    error = models.TextField(blank=True)
    """Why it failed, in one sentence."""
    traceback = models.TextField(blank=True)
    resume_at = models.DateTimeField(null=True)
    """Not before this moment will the host answer again."""
    is_backfill = models.BooleanField(default=False)
    """Whether it fetches partitions of the past; the feed's status knows nothing of it then."""
    machine = models.CharField(max_length=200)
    pid = models.BigIntegerField()

    class Meta:
        indexes = [
            models.Index(fields=["feed", "-started_at"]),
            models.Index(fields=["outcome"]),
        ]

    def __str__(self) -> str:
        return f"{self.feed} {self.started_at:%Y-%m-%d %H:%M:%S}: {self.outcome}"


class FeedStatus(models.Model):
    """Where a feed stands: its last run, and when the next one is due."""

    feed = models.CharField(primary_key=True, max_length=200)
    next_run_at = models.DateTimeField(null=True)
    """Null when it runs by hand only, or the scheduler has not seen it yet."""
    next_run_of_shard = models.JSONField(default=dict)
    """Of a feed that every shard runs: by shard (`1/4`), when it is due there."""
    paused_at = models.DateTimeField(null=True)
    """Since when it does not run on its schedule, by an operator's wish."""
    last_run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="+")
    last_complete_at = models.DateTimeField(null=True)
    consecutive_failures = models.IntegerField(default=0)
    last_error = models.TextField(blank=True)
    """Empty after a complete run."""

    def __str__(self) -> str:
        return f"{self.feed}: next run {self.next_run_at or 'by hand'}"


class Watermark(models.Model):
    """How far a feed, or one partition of it, has been fetched. Never ahead of what is sealed."""

    pk = models.CompositePrimaryKey("feed", "partition")
    feed = models.CharField(max_length=200)
    partition = models.CharField(max_length=500)
    value = models.JSONField(null=True)
    run_id = models.UUIDField()
    advanced_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.feed} {self.partition}: {self.value}"


class PartitionState(models.TextChoices):
    """Where a partition of a backfill stands."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    DONE = "done"
    FAILED = "failed"


class BackfillPartition(models.Model):
    """A stretch of the past that a backfill fetches, or has fetched; see `ingest.partitions`."""

    id = models.BigAutoField(primary_key=True)
    feed = models.CharField(max_length=200)
    since = models.DateTimeField()
    until = models.DateTimeField()
    """The first moment that is no longer of it."""
    state = models.CharField(max_length=20, choices=PartitionState, default=PartitionState.WAITING)
    attempts = models.IntegerField(default=0)
    run_id = models.UUIDField(null=True)
    """The run that claimed it last."""
    response_count = models.BigIntegerField(default=0)
    """Responses that its extractor was given."""
    ended_at = models.DateTimeField(null=True)
    """When it was done, or failed, last."""
    error = models.TextField(blank=True)
    """Why it failed."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["feed", "since", "until"], name="one_partition")
        ]
        indexes = [models.Index(fields=["feed", "state", "since"])]

    def __str__(self) -> str:
        return f"{self.feed} {self.since:%Y-%m-%d %H:%M}: {self.state}"


class FrontierState(models.IntegerChoices):
    """Where an address of a crawl stands."""

    WAITING = 0
    LEASED = 1
    DONE = 2
    FAILED = 3


class Crawl(models.Model):
    """One walk over everything that a crawl finds; it may take several runs."""

    id = models.BigAutoField(primary_key=True)
    feed = models.CharField(max_length=200)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    done_count = models.BigIntegerField(default=0)
    """Addresses, once it is finished; `failed_count` as well."""
    failed_count = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["feed"], condition=models.Q(finished_at=None), name="one_open_crawl"
            )
        ]

    def __str__(self) -> str:
        return f"{self.feed} {self.started_at:%Y-%m-%d %H:%M:%S}"


class FrontierUrl(models.Model):
    """An address that a crawl has found; see `ingest.frontier.store`."""

    id = models.BigAutoField(primary_key=True)
    # Its index would repeat what the others begin with.
    crawl = models.ForeignKey(Crawl, models.CASCADE, related_name="urls", db_index=False)
    key = models.CharField(max_length=32)
    """The beginning of its request's key: two addresses of one request are one."""
    url = models.TextField()
    depth = models.IntegerField()
    """How many links it is away from the start."""
    rank = models.IntegerField()
    """The lowest is asked for first."""
    is_sitemap = models.BooleanField(default=False)
    state = models.SmallIntegerField(choices=FrontierState, default=FrontierState.WAITING)
    attempts = models.IntegerField(default=0)
    """How often it was leased."""
    run_id = models.UUIDField(null=True)
    """The run that leased it last."""
    lease_until = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    """Why it could not be fetched."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["crawl", "key"], name="one_url")]
        indexes = [models.Index(fields=["crawl", "state", "rank", "id"], name="frontier_next")]

    def __str__(self) -> str:
        return f"{self.url}: {FrontierState(self.state).label}"


class HostState(models.Model):
    """How a host is to be asked, by every feed and process; see `ingest.politeness`."""

    host = models.CharField(primary_key=True, max_length=300)
    """With its port, where the address gives one."""
    not_before = models.DateTimeField(null=True)
    reason = models.CharField(max_length=200, blank=True)
    """Why nothing was or is sent before that."""
    rate = models.FloatField(null=True)
    """Requests a second after the host complained; null when it did not."""
    recovers_to = models.FloatField(null=True)
    changed_at = models.DateTimeField(null=True)
    """When `rate` was lowered or raised last."""
    consecutive_failures = models.IntegerField(default=0)
    quota_rate = models.FloatField(null=True)
    """Learned from rate-limit headers, in force until `quota_until`."""
    quota_until = models.DateTimeField(null=True)
    crawl_delay = models.FloatField(null=True)
    """Seconds between two requests, from robots.txt."""
    declared = models.JSONField(default=dict)
    """By feed: the rate and the concurrency its extractor declares."""
    set_rate = models.FloatField(null=True)
    set_concurrency = models.IntegerField(null=True)
    """What an operator set, in place of what feeds declare."""
    booked_until = models.DateTimeField(null=True)
    """Time up to here belongs to processes that asked for it; see `ingest.politeness.store`."""

    def __str__(self) -> str:
        return self.host


class HostLease(models.Model):
    """How many requests at a time one process may have under way at one host."""

    pk = models.CompositePrimaryKey("host", "holder")
    host = models.CharField(max_length=300)
    holder = models.UUIDField()
    machine = models.CharField(max_length=200)
    pid = models.BigIntegerField()
    slots = models.IntegerField()
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["holder"])]

    def __str__(self) -> str:
        return f"{self.host}: {self.slots} of {self.machine} {self.pid}"


class Event(models.TextChoices):
    """What a notice tells of."""

    FAILED = "failed"
    RECOVERED = "recovered"
    FINISHED = "finished"
    TEST = "test"


class Notice(models.Model):
    """Something to tell one channel; see `ingest.notices.outbox`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    channel = models.CharField(max_length=500)
    event = models.CharField(max_length=20, choices=Event)
    feed = models.CharField(max_length=200, blank=True)
    """Empty for a test."""
    run_id = models.UUIDField(null=True)
    failure_count = models.IntegerField(default=0)
    """Failures in a row: with this one, or before the feed recovered."""
    rows = models.JSONField(null=True)
    """What the replay that followed changed: counts of new, changed and gone rows."""
    created_at = models.DateTimeField()
    not_before = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    """Somebody delivers it now, unless they died."""
    attempts = models.IntegerField(default=0)
    delivered_at = models.DateTimeField(null=True)
    given_up_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    """Why the last attempt failed."""

    class Meta:
        indexes = [
            models.Index(fields=["delivered_at", "given_up_at", "not_before"]),
            models.Index(fields=["channel", "feed", "-created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.channel}: {self.event} {self.feed}"
