"""What is known of a download beside its job. It has no state of its own: its job has one."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.indexes import HashIndex
from django.db import models
from django.db.models.functions import Now

from jobs.models import Job


class Download(models.Model):
    """One file to fetch: what was asked for, how far it is, and what came of it."""

    job = models.OneToOneField(Job, on_delete=models.CASCADE, primary_key=True, related_name="download")
    url = models.TextField(help_text="Where it comes from at present: a refresh changes it.")
    output = models.TextField(blank=True, help_text="Path below the download root; chosen at the end if left out.")
    threads = models.PositiveSmallIntegerField(default=4, help_text="Connections at once, at most.")
    sha256 = models.CharField(
        max_length=64, blank=True, help_text="Digest that the file must have, or has; blank: nobody asked for it."
    )
    rate_limit = models.PositiveBigIntegerField(null=True, help_text="Bytes per second; none: no limit of its own.")
    pause_requested = models.BooleanField(default=False, help_text="The attempt that sees it holds the job.")

    bytes_done = models.PositiveBigIntegerField(default=0)
    total_bytes = models.PositiveBigIntegerField(null=True, help_text="None while the origin has not said.")
    bytes_per_second = models.FloatField(default=0, help_text="Smoothed over a few seconds.")
    segments = models.JSONField(default=list, help_text='[{"start", "end", "done", "bytes_per_second"}] of connections')
    checkpoint = models.JSONField(null=True, help_text="What is safely on disk: see downloads/engine/checkpoint.py.")
    published = models.JSONField(
        null=True, help_text="The file that got, or is about to get, its name: see downloads/publishing.py."
    )

    room_needed = models.PositiveBigIntegerField(
        null=True, help_text="Paused until the disk has so many bytes free: see downloads/room.py."
    )

    media_type = models.CharField(max_length=255, blank=True)
    digest_verified = models.BooleanField(
        default=False, db_default=False, help_text="The file has a digest that was expected, or stated by its origin."
    )
    length_verified = models.BooleanField(default=True, help_text="False: the origin never said how long the file is.")
    notes = models.JSONField(default=list, help_text="Where the engine had to do less than it would, in words.")
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="download_threads_are_few", condition=models.Q(threads__gte=1, threads__lte=32)
            ),
        ]
        # A hash: URLs may be longer than an entry of a B-tree.
        indexes: ClassVar = [
            HashIndex(fields=["url"], name="download_url"),
            models.Index(fields=["sha256"], condition=~models.Q(sha256=""), name="download_sha256"),
            models.Index(fields=["job"], condition=models.Q(room_needed__isnull=False), name="download_wants_room"),
        ]

    def __str__(self) -> str:
        return f"{self.output or self.url.partition('?')[0]}"

    @property
    def percent(self) -> float:
        """0 to 100; 0 while the size is not known."""
        if self.total_bytes == 0:
            return 100.0
        return round(100 * self.bytes_done / self.total_bytes, 1) if self.total_bytes else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """How long the rest takes at the present rate; none while that cannot be told."""
        if self.total_bytes is None or not self.bytes_per_second:
            return None
        return round((self.total_bytes - self.bytes_done) / self.bytes_per_second, 1)


class Limits(models.Model):
    """What holds for all downloads together and can be changed while they run. One row, or none: the settings count."""

    rate_limit = models.PositiveBigIntegerField(null=True, help_text="Bytes per second of the fleet; none: no limit.")

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(name="one_row_of_limits", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"{self.rate_limit or 'no limit'}"
