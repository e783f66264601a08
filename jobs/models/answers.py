"""What was answered under which Idempotency-Key, so that a submission that is sent again is not done again."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Answer(models.Model):
    """One answer. The row is written in the transaction of what it answers, so there are both or neither."""

    owner = models.CharField(max_length=100, help_text="Whose key it is: two clients may use the same words.")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of method, path and body.")
    status = models.PositiveSmallIntegerField(default=0, help_text="0 until the answer is known.")
    headers = models.JSONField(default=dict)
    body = models.TextField(default="")
    expires_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["owner", "key"], name="answer_once")]
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="answer_expiry")]

    def __str__(self) -> str:
        return f"{self.key}: {self.status}"
