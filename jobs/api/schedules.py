"""Schedules over HTTP: written, read, tried out, paused, run."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from django.http import Http404
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs.access.roles import Act
from jobs.api.access import acting
from jobs.api.openapi import door
from jobs.api.pages import PAGE, NewestFirst, page
from jobs.api.problems import WrongState
from jobs.api.shapes import RETRIES, TIMEOUT, Line, PriorityGiven, Reckoned, Whole, read
from jobs.api.shown import FirePage, FireShown, SchedulePage, ScheduleShown, TimingShown
from jobs.models import Fire, Misfire, Overlap, Priority, Schedule
from jobs.schedules import editing
from jobs.schedules.definition import LONGEST, LONGEST_GRACE, SHORTEST, timing_of
from jobs.schedules.misfires import MOST_AT_ONCE
from jobs.schedules.timing import next_five
from jobs.sealed import masked
from jobs.submission import priority_of


class TimingBody(BaseModel):
    """When something fires: one of cron, every and at. What the values may be, schedules.definition judges."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cron: Line = Field(default="", max_length=200, description="Minute, hour, day of month, month, day of week.")
    time_zone: Line = Field(default="UTC", max_length=64, description="By which the cron line is read.")
    every: float | None = Field(
        default=None,
        description="Seconds from one fire to the next.",
        json_schema_extra={"minimum": SHORTEST, "maximum": LONGEST},
    )
    starts_at: Reckoned | None = Field(default=None, description="From when they are counted; else from now.")
    at: Reckoned | None = Field(default=None, description="Fire once, then.")


class ScheduleBody(TimingBody):
    """A schedule. What is left out of a new one gets its default, and of a changed one stays as it is."""

    name: Line = Field(default="", max_length=200, description="Unique among schedules.")
    kind: str = Field(default="", max_length=100)
    payload: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    priority: PriorityGiven = Field(default="medium", description="A name, or 0 to 3.")
    max_retries: Whole | None = Field(default=None, json_schema_extra=RETRIES)
    timeout: float | None = Field(
        default=None, description="Seconds that one attempt may take.", json_schema_extra=TIMEOUT
    )
    misfire: Annotated[Misfire, Field(strict=False)] = Field(
        default=Misfire.COALESCE,
        description="Of times that passed while nobody could fire them: skip, coalesce into one job, or catch_up.",
    )
    grace: float = Field(
        default=60,
        description="Seconds that a time may be late before `skip` lets it go.",
        json_schema_extra={"minimum": 0, "maximum": LONGEST_GRACE},
    )
    catch_up_limit: Whole = Field(
        default=10,
        description="How many of the latest such times catch_up makes jobs for.",
        json_schema_extra={"minimum": 1, "maximum": MOST_AT_ONCE},
    )
    overlap: Annotated[Overlap, Field(strict=False)] = Field(
        default=Overlap.ALLOW, description="skip: do not fire while the last job lives."
    )

    def put_into(self, schedule: Schedule) -> Schedule:
        """Only what was said. Raises InvalidSubmission."""
        for name in self.model_fields_set:
            setattr(schedule, name, getattr(self, name))
        if "priority" in self.model_fields_set:
            schedule.priority = priority_of(self.priority)
        return schedule


class NewSchedule(ScheduleBody):
    """A schedule as it is written first."""

    name: Line = Field(min_length=1, max_length=200, description="Unique among schedules.")
    kind: str = Field(max_length=100)


def write_schedule(schedule: Schedule, now: datetime) -> dict[str, Any]:
    """A schedule as the API shows it; `next` is empty while it is paused, and once it is over."""
    return {
        "id": schedule.pk,
        "name": schedule.name,
        **{name: getattr(schedule, name) for name in ("cron", "time_zone", "every", "starts_at", "at")},
        "words": timing_of(schedule).words,
        "kind": schedule.kind,
        "payload": masked(schedule.payload),
        "metadata": schedule.metadata,
        "priority": Priority(schedule.priority).label,
        "max_retries": schedule.max_retries,
        "timeout": schedule.timeout,
        **{name: getattr(schedule, name) for name in ("misfire", "grace", "catch_up_limit", "overlap")},
        "next": next_fires(schedule, now),
        "paused_at": schedule.paused_at,
        "paused_by": schedule.paused_by,
        "created_at": schedule.created_at,
    }


def next_fires(schedule: Schedule, now: datetime) -> list[datetime]:
    """The next five times of a schedule that is not paused."""
    return [] if schedule.next_at is None else next_five(timing_of(schedule), now)


def write_fire(fire: Fire) -> dict[str, Any]:
    names = ("at", "outcome", "job_id", "fired_at", "missed", "by", "note")
    return {name: getattr(fire, name) for name in names}


class FiresNewestFirst(NewestFirst):
    ordering = "-fired_at"


class Schedules(APIView):
    """Write a schedule; list them, newest first."""

    of_everybody = True

    @door(
        "Schedules, newest first",
        name="list_schedules",
        tag="schedules",
        gives={200: SchedulePage},
        parameters=PAGE,
        refuses=(404,),
    )
    def get(self, request: Request) -> Response:
        now = editing.database_now()
        return page(NewestFirst(), Schedule.objects.all(), request, lambda row: write_schedule(row, now))

    @door(
        "Write a schedule",
        name="write_schedule",
        tag="schedules",
        takes=NewSchedule,
        gives={201: ScheduleShown},
        example={
            "name": "nightly",
            "cron": "30 2 * * *",
            "time_zone": "Europe/Paris",
            "kind": "export_data",
            "payload": {"format": "csv"},
        },
    )
    def post(self, request: Request) -> Response:
        new = read(NewSchedule, request).put_into(Schedule())
        with acting(request, "add schedule", new.pk):
            schedule = editing.write(new)
        headers = {"Location": f"/api/v1/schedules/{schedule.pk}"}
        return Response(_shown(schedule), status=status.HTTP_201_CREATED, headers=headers)


class ScheduleDetail(APIView):
    """Read, change or delete one schedule. Jobs that it has submitted live on."""

    of_everybody = True

    @door("A schedule", name="schedule", tag="schedules", gives={200: ScheduleShown}, refuses=(404,))
    def get(self, request: Request, pk: uuid.UUID) -> Response:  # noqa: ARG002 - DRF's signature
        return Response(_shown(get_object_or_404(Schedule, pk=pk)))

    @door(
        "Change a schedule",
        name="change_schedule",
        tag="schedules",
        takes=ScheduleBody,
        gives={200: ScheduleShown},
        example={"cron": "0 3 * * *"},
        refuses=(404,),
    )
    def patch(self, request: Request, pk: uuid.UUID) -> Response:
        schedule = get_object_or_404(Schedule, pk=pk)
        changed = read(ScheduleBody, request).put_into(schedule)
        with acting(request, "change schedule", pk):
            editing.write(changed)
        return Response(_shown(changed))

    @door("Delete a schedule", name="delete_schedule", tag="schedules", gives={204: None}, refuses=(404,))
    def delete(self, request: Request, pk: uuid.UUID) -> Response:
        schedule = get_object_or_404(Schedule, pk=pk)
        with acting(request, "delete schedule", pk, name=schedule.name):
            schedule.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)


class ScheduleFires(APIView):
    """What a schedule has done, latest first."""

    of_everybody = True

    @door(
        "What a schedule has done, latest first",
        name="list_fires",
        tag="schedules",
        gives={200: FirePage},
        parameters=PAGE,
        refuses=(404,),
    )
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        schedule = get_object_or_404(Schedule, pk=pk)
        return page(FiresNewestFirst(), schedule.fires.all(), request, write_fire)


class SchedulePreview(APIView):
    """The next five times of a timing, and what it says in words."""

    of_everybody = True
    acts = {"POST": Act.SEE}

    @door(
        "The next five times of a timing",
        name="preview_schedule",
        tag="schedules",
        takes=TimingBody,
        gives={200: TimingShown},
        example={"cron": "30 2 * * *", "time_zone": "Europe/Paris"},
    )
    def post(self, request: Request) -> Response:
        now = editing.database_now()
        given = read(TimingBody, request)
        schedule = Schedule(**given.model_dump() | {"starts_at": given.starts_at or now})
        timing = timing_of(schedule)
        return Response({"words": timing.words, "next": next_five(timing, now)})


class ScheduleVerb(APIView):
    """Pause or resume one schedule: 200 and the schedule, 404, or 409 where it is so already."""

    of_everybody = True

    verb: str = ""

    @door("{verb} a schedule", tag="schedules", gives={200: ScheduleShown}, refuses=(404, 409, 415))
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        verbs: dict[str, Callable[[], int]] = {
            "pause": lambda: editing.pause([pk], by=request.user.get_username()),
            "resume": lambda: editing.resume([pk]),
        }
        with acting(request, f"{self.verb} schedule", pk):
            if not verbs[self.verb]():
                get_object_or_404(Schedule, pk=pk)
                raise WrongState(f"The schedule is {'paused' if self.verb == 'pause' else 'not paused'} already.")
        return Response(_shown(Schedule.objects.get(pk=pk)))


class ScheduleRun(APIView):
    """Submit its job at once: 202 and the fire."""

    of_everybody = True

    @door(
        "Submit its job at once", name="run_schedule", tag="schedules", gives={202: FireShown}, refuses=(404, 409, 415)
    )
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        try:
            with acting(request, "run schedule", pk):
                fire = editing.run_now(pk, by=request.user.get_username())
        except Schedule.DoesNotExist as error:
            raise Http404 from error
        except editing.StillRunning as error:
            raise WrongState(str(error)) from error
        headers = {"Location": f"/api/v1/jobs/{fire.job_id}"}
        return Response(write_fire(fire), status=status.HTTP_202_ACCEPTED, headers=headers)


def _shown(schedule: Schedule) -> dict[str, Any]:
    return write_schedule(schedule, editing.database_now())
