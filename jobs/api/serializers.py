"""The shapes of the API: what comes in, what goes out."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from jobs.models import Attempt, Job, Priority


class PriorityField(serializers.Field[Any, Any, Any, Any]):
    """A name, or 0 (low) to 3 (critical); always the name on the way out."""

    def to_internal_value(self, data: Any) -> Any:
        return data  # submission.checked() judges it, for every door alike

    def to_representation(self, value: int) -> str:
        return Priority(value).label


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know: a typing mistake must not pass for a default."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := set(data) - set(self.fields)):
            known = ", ".join(self.fields)
            raise serializers.ValidationError({name: [f"Unknown field. Known: {known}."] for name in sorted(unknown)})
        return super().to_internal_value(data)


class SubmissionSerializer(StrictSerializer):
    """A job as it is submitted."""

    kind = serializers.CharField(max_length=100)
    payload = serializers.DictField(default=dict)
    priority = PriorityField(default=None, allow_null=True)
    run_at = serializers.DateTimeField(default=None, allow_null=True)
    max_retries = serializers.IntegerField(default=None, allow_null=True)
    timeout = serializers.FloatField(default=None, allow_null=True)
    metadata = serializers.DictField(default=dict)


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    class Meta:
        model = Attempt
        fields = ("number", "outcome", "started_at", "finished_at", "node", "error", "traceback")


class JobSerializer(serializers.ModelSerializer[Job]):
    """A job without its attempts, as lists show it."""

    priority = PriorityField()

    class Meta:
        model = Job
        fields = (
            "id",
            "kind",
            "state",
            "priority",
            "payload",
            "metadata",
            "created_at",
            "run_at",
            "started_at",
            "finished_at",
            "attempt",
            "failures",
            "max_retries",
            "timeout",
            "progress",
            "result",
            "reason",
            "error",
            "cancel_requested_at",
        )
        read_only_fields = fields


class JobDetailSerializer(JobSerializer):
    """A job with the history of its attempts."""

    attempts = serializers.SerializerMethodField()

    class Meta(JobSerializer.Meta):
        fields = (*JobSerializer.Meta.fields, "attempts")  # type: ignore[assignment]

    def get_attempts(self, job: Job) -> Any:
        return AttemptSerializer(job.attempts.order_by("number"), many=True).data
