"""What a job is in the database: the truth about it.

Behaviour lives in `jobs/`. Redis, the channel layer and the processes may be lost at
any time; these rows may not.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from typing import ClassVar

__all__ = ("Job", "JobBatch", "JobCancel", "JobInput", "State", "Worker")


class State(models.TextChoices):
    """The states of PROTOCOL section 7."""

    PENDING = "PENDING", _("pending")
    PROGRESS = "PROGRESS", _("running")
    SUCCESS = "SUCCESS", _("completed")
    FAILURE = "FAILURE", _("failed")
    CANCELLING = "CANCELLING", _("cancelling")
    CANCELLED = "CANCELLED", _("cancelled")

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({State.SUCCESS, State.FAILURE, State.CANCELLED})


class Job(models.Model):
    """Long work that survives anything.

    Whoever works on it holds a lease (on the database's clock) under an epoch. Every
    commit of work begins by locking this row, guarded by epoch, state and `batches`,
    and ends by advancing it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    #: Which Work does it: a name in `jobs.work`'s registry.
    kind = models.CharField(max_length=100)
    #: None: it belongs to whoever holds its id.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
    )

    state = models.CharField(
        max_length=10, choices=State.choices, default=State.PENDING
    )
    #: Why it failed, in words for its owner; and in one that a program may rely on.
    message = models.TextField(blank=True, default="")
    code = models.CharField(max_length=40, blank=True, default="")

    #: The fence: it rises with every claim.
    epoch = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=200, blank=True, default="")
    #: Workers that died with it since the cursor moved.
    attempts = models.PositiveIntegerField(default=0)
    #: A batch that killed its workers is cut down to so many rows, until the row
    #: that does it stands alone; None: nothing is suspected.
    narrowed_to = models.PositiveIntegerField(null=True, blank=True)
    #: How often the batch that it was cut down to was begun and did not end.
    begun = models.PositiveIntegerField(default=0)
    dispatched_at = models.DateTimeField(null=True, blank=True)
    dispatches = models.PositiveIntegerField(default=0)
    #: Nobody claims it before; for jobs that wait for a deploy, or after a failure.
    not_before = models.DateTimeField(null=True, blank=True)
    #: When its last slice began: owners take turns.
    turn_at = models.DateTimeField(null=True, blank=True)

    #: What the work needs beside its input; JSON of its own.
    spec = models.JSONField(default=dict)
    #: What the code that reads `spec` and the input was at submission.
    fingerprint = models.CharField(max_length=64, blank=True, default="")
    #: SHA-256 of the owner and the `Idempotency-Key` that it was sent with, and of
    #: the request that had it.
    idempotency_key = models.CharField(
        max_length=64, null=True, blank=True, unique=True, editable=False
    )
    request_sha256 = models.CharField(max_length=64, blank=True, default="")
    #: The job whose failed rows these are.
    retry_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="retries"
    )
    #: Where the work stands; JSON of its own.
    cursor = models.JSONField(default=dict)
    #: Commits so far; identifies the cursor.
    batches = models.PositiveIntegerField(default=0)

    total = models.PositiveBigIntegerField(default=0)
    current = models.PositiveBigIntegerField(default=0)
    created = models.PositiveBigIntegerField(default=0)
    updated = models.PositiveBigIntegerField(default=0)
    unchanged = models.PositiveBigIntegerField(default=0)
    deleted = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    #: Rows per second of the worker that has it.
    rate = models.FloatField(null=True, blank=True)
    #: The first ids and errors, for the status; the ledger has all of them.
    sample = models.JSONField(default=dict)

    #: Rises with every change that a follower can see.
    seq = models.PositiveBigIntegerField(default=0)

    input_bytes = models.PositiveBigIntegerField(default=0)
    input_sha256 = models.CharField(max_length=64, blank=True, default="")
    #: Where it is when it is not in `inputs`: an alias of STORAGES, and a name there.
    input_storage = models.CharField(max_length=100, blank=True, default="")
    input_name = models.CharField(max_length=200, blank=True, default="")

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            models.Index(fields=["state", "lease_until"], name="partstream_job_due"),
            models.Index(fields=["owner", "-created_at"], name="partstream_job_owner"),
            models.Index(fields=["owner", "turn_at"], name="partstream_job_turn"),
            models.Index(fields=["finished_at"], name="partstream_job_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class JobCancel(models.Model):
    """A job is to be cancelled whose row was held, by a batch, when that was asked.

    In a row of its own, which nobody holds; without a foreign key, which would wait
    for the job's row on some databases.
    """

    job_id = models.UUIDField(primary_key=True)
    asked_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"cancel {self.job_id}"


class JobInput(models.Model):
    """A piece of a job's input: zlib over at most 1 MiB."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="inputs")
    #: The byte of the whole input at which this piece starts.
    start = models.PositiveBigIntegerField()
    size = models.PositiveIntegerField()
    #: Of the bytes of the piece, in hex.
    sha256 = models.CharField(max_length=64)
    data = models.BinaryField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["job", "start"], name="partstream_jobinput_job_start"
            )
        ]

    def __str__(self) -> str:
        return f"input of {self.job_id} from {self.start}"


class JobBatch(models.Model):
    """The ledger: one row a commit, written with the rows that it tells of."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="ledger")
    number = models.PositiveIntegerField()
    epoch = models.PositiveIntegerField()
    first_row = models.PositiveBigIntegerField()
    last_row = models.PositiveBigIntegerField()
    created = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    deleted = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    #: zlib over NDJSON, one line for each failed row.
    failures = models.BinaryField(default=bytes)
    #: zlib over JSON: what became of the rows that did not fail, in input order.
    successes = models.BinaryField(default=bytes)
    #: zlib over NDJSON: what the work made for a download.
    output = models.BinaryField(default=bytes)
    written_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["number"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["job", "number"], name="partstream_jobbatch_job_number"
            )
        ]

    def __str__(self) -> str:
        return f"batch {self.number} of {self.job_id}"


class Worker(models.Model):
    """A process that works on jobs, and when it was last heard of."""

    #: Host, process and a random part.
    name = models.CharField(max_length=200, primary_key=True)
    queue = models.CharField(max_length=20)
    started_at = models.DateTimeField()
    #: On the database's clock.
    seen_at = models.DateTimeField()
    #: What it counted so far: slices, takeovers, lost leases …
    counts = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name
