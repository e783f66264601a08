"""What is recorded of access: tokens, and what people did."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now


class Token(models.Model):
    """A key to the API for one user's programs. What opens the door is its secret, of which only a digest is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100, help_text="What it is for.")
    prefix = models.CharField(max_length=16, help_text="How the secret begins: enough to know it by, not to use it.")
    digest = models.CharField(max_length=64, unique=True, editable=False, help_text="SHA-256 of the secret, in hex.")
    scopes = models.JSONField(default=list, blank=True, help_text="Acts that it is good for; none: all of its user's.")
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True, help_text="None: as the settings say.")
    backlog = models.PositiveIntegerField(
        null=True, blank=True, help_text="Unfinished jobs that its user may have; none: as the settings say."
    )
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True, help_text="None: never.")
    last_used_at = models.DateTimeField(null=True, help_text="To the minute.")
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class Action(models.Model):
    """Something that a person or a token did, written in the transaction in which it was done.

    Who did it is kept as a name too: it outlives the user and the token.
    """

    at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=255)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    token = models.ForeignKey(Token, models.SET_NULL, null=True, related_name="+", db_index=False)
    verb = models.CharField(max_length=50)
    targets = models.JSONField(default=list, help_text="Ids or names of what it was done to: the first 1000.")
    count = models.PositiveIntegerField(help_text="How many it was done to.")
    detail = models.JSONField(default=dict, help_text="What else there is to know, such as the new limit.")
    door = models.CharField(max_length=300, help_text="Method and path of the request, or the command.")
    address = models.GenericIPAddressField(null=True, help_text="Where the request came from.")
    request_id = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            GinIndex(fields=["targets"], name="action_by_target", opclasses=["jsonb_path_ops"]),
            models.Index(fields=["at"], name="action_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.actor}: {self.verb}"
