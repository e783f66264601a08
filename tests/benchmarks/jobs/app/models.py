"""The table of the bare view; the benchmark makes it, so that Haulway's migrations know nothing of it."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Row(models.Model):
    payload = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        managed = False
        db_table = "bench_row"

    def __str__(self) -> str:
        return str(self.pk)
