"""Numbers that are kept and not counted."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Tally(models.Model):
    """What changed in number, written by triggers in the statement that changed it: see migration 0002.

    Adding a row meets nobody, where counting up in one would make every commit wait for its neighbour.
    """

    name = models.CharField(max_length=16, help_text="jobs, submitted, ended, attempts, seconds, or seconds_sum.")
    kind = models.CharField(max_length=100)
    priority = models.SmallIntegerField(default=-1)
    label = models.CharField(max_length=16, help_text="A state, or the upper bound of a histogram's bucket.")
    amount = models.FloatField()

    def __str__(self) -> str:
        return f"{self.name} {self.kind} {self.label}: {self.amount:+g}"


class Total(models.Model):
    """The sum of the tallies that the dispatcher has rolled up."""

    name = models.CharField(max_length=16)
    kind = models.CharField(max_length=100)
    priority = models.SmallIntegerField()
    label = models.CharField(max_length=16)
    amount = models.FloatField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name", "kind", "priority", "label"], name="total_is_one"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.kind} {self.label}: {self.amount:g}"


class Moment(models.Model):
    """The sums at one time, for curves: see jobs/history.py."""

    at = models.DateTimeField(primary_key=True)
    submitted = models.PositiveBigIntegerField()
    completed = models.PositiveBigIntegerField()
    failed = models.PositiveBigIntegerField()
    retried = models.PositiveBigIntegerField()
    waiting = models.BigIntegerField()
    running = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S}: {self.waiting} wait, {self.running} run"
