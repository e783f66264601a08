from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from jobs import lifecycle
from jobs.access.callers import AT_THIS_MACHINE, at_this_machine, caller_of, of_owner, of_user
from jobs.access.roles import Act, Caller, Reach, Role, roles_of, within_reach
from jobs.inline import run_inline
from jobs.models import Job
from jobs.submission import checked
from tests.jobs.access.callers import caller_in, user_in

pytestmark = pytest.mark.django_db

# What each role may do, and to whose jobs, said a second time and in another way than the product says it.
EXPECTED = {
    Role.VIEWER: "see:all",
    Role.SUBMITTER: "see:own submit:own change:own",
    Role.OPERATOR: "see:all submit:all change:all operate:all audit:all",
    Role.ADMIN: "see:all submit:all change:all operate:all audit:all manage:all",
}


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_the_table_says_and_no_more(role: Role) -> None:
    granted = caller_in(role).grants

    assert " ".join(f"{act}:{granted[act].name.lower()}" for act in Act if act in granted) == EXPECTED[role]


def test_every_role_is_a_group_that_people_can_be_put_into() -> None:
    assert set(Group.objects.values_list("name", flat=True)) == set(Role)


def test_two_roles_together_reach_as_far_as_the_wider_one_for_each_act() -> None:
    both = caller_in(Role.VIEWER, Role.SUBMITTER)

    assert both.grants == {Act.SEE: Reach.ALL, Act.SUBMIT: Reach.OWN, Act.CHANGE: Reach.OWN}


def test_scopes_take_away_and_never_add() -> None:
    narrow = Caller("token", frozenset({Role.SUBMITTER}), 1, 1, frozenset({Act.SEE, Act.MANAGE}))

    assert narrow.grants == {Act.SEE: Reach.OWN}


@pytest.mark.parametrize(
    ("fields", "roles"),
    [
        ({"is_superuser": True}, {Role.ADMIN}),
        ({"is_staff": True}, {Role.VIEWER}),
        ({}, set()),
        ({"is_superuser": True, "is_active": False}, set()),
    ],
)
def test_who_is_in_no_group_has_the_role_that_his_flags_say(fields: dict[str, Any], roles: set[Role]) -> None:
    assert roles_of(User.objects.create_user("someone", **fields)) == roles


def test_who_is_unknown_has_no_role() -> None:
    assert roles_of(AnonymousUser()) == set()
    assert of_user(AnonymousUser()) is None


def test_jobs_of_others_and_of_nobody_are_out_of_a_submitters_reach() -> None:
    ada, bob = caller_in(Role.SUBMITTER, name="ada"), caller_in(Role.SUBMITTER, name="bob")
    own = lifecycle.submit("echo", owner=ada.user_id)
    lifecycle.submit("echo", owner=bob.user_id)
    lifecycle.submit("echo")

    viewer = caller_in(Role.VIEWER)

    assert list(within_reach(ada, Job.objects.all())) == [own]
    assert within_reach(viewer, Job.objects.all()).count() == 3
    assert not within_reach(viewer, Job.objects.all(), Act.CHANGE).exists()
    assert not within_reach(None, Job.objects.all()).exists()
    nobody = Caller("nobody in particular", frozenset({Role.SUBMITTER}))
    assert not within_reach(nobody, Job.objects.all()).exists()


# --- owners ----------------------------------------------------------------------------------------------------------


def test_the_owner_is_kept_whether_one_job_is_submitted_or_many() -> None:
    ada = user_in(Role.SUBMITTER, name="ada")
    one = lifecycle.submit("echo", owner=ada)
    many = lifecycle.submit_many([checked("echo", owner=ada), checked("echo", owner=ada.pk), checked("echo")])

    assert one.owner_id == ada.pk
    assert [Job.objects.get(id=job_id).owner_id for job_id in many] == [ada.pk, ada.pk, None]


def test_a_handler_is_told_whose_job_it_runs(add_kind: object) -> None:
    seen = []
    add_kind("asks_for_owner", lambda payload, ctx: seen.append(ctx.owner))  # type: ignore[operator]
    ada = user_in(Role.SUBMITTER, name="ada")
    run_inline("asks_for_owner", owner=ada)
    run_inline("asks_for_owner")

    assert seen == [ada.pk, None]


def test_jobs_of_a_user_who_is_deleted_come_to_be_nobodys_and_get_at_nothing() -> None:
    ada = user_in(Role.SUBMITTER, name="ada")
    job = lifecycle.submit("echo", owner=ada)
    gone = ada.pk
    ada.delete()

    assert Job.objects.get(id=job.id).owner_id == gone
    assert of_owner(gone) is None
    assert list(within_reach(caller_in(Role.OPERATOR), Job.objects.all())) == [job]


# --- whoever is at this machine --------------------------------------------------------------------------------------


def test_this_machine_is_open_to_whoever_sits_at_it_where_the_setting_says_so(settings: Settings) -> None:
    request = RequestFactory().get("/")
    assert at_this_machine(request) is None
    settings.OPEN_ON_LOOPBACK = True
    assert at_this_machine(request) is AT_THIS_MACHINE


@pytest.mark.parametrize(
    "sign",
    [
        {"REMOTE_ADDR": "192.0.2.7"},
        {"REMOTE_ADDR": ""},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_X_REAL_IP": "127.0.0.1"},
        {"HTTP_VIA": "1.1 proxy"},
        {"HTTP_HOST": "haulway.example.org"},
        {"HTTP_HOST": "127.0.0.1.example.org"},
        {"HTTP_ORIGIN": "https://example.org"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_ORIGIN": "http://["},
        {"HTTP_HOST": "["},
        {"HTTP_ORIGIN": "http://127.0.0.1:9999", "HTTP_HOST": "127.0.0.1:8080"},
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_SEC_FETCH_SITE": "same-site"},
    ],
)
def test_a_call_that_may_come_from_elsewhere_is_not_from_this_machine(settings: Settings, sign: dict[str, str]) -> None:
    settings.OPEN_ON_LOOPBACK = True

    assert at_this_machine(RequestFactory().get("/", **sign)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sign",
    [
        {"REMOTE_ADDR": "::1", "HTTP_HOST": "[::1]:8080"},
        {"REMOTE_ADDR": "127.0.0.2", "HTTP_HOST": "localhost:8080"},
        {"HTTP_HOST": "localhost:8080", "HTTP_ORIGIN": "http://localhost:8080", "HTTP_SEC_FETCH_SITE": "same-origin"},
        {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_SEC_FETCH_MODE": "navigate"},
    ],
)
def test_every_way_to_name_this_machine_is_one(settings: Settings, sign: dict[str, str]) -> None:
    settings.OPEN_ON_LOOPBACK = True

    assert at_this_machine(RequestFactory().get("/", **sign)) is AT_THIS_MACHINE  # type: ignore[arg-type]


def test_a_form_of_somebody_elses_page_is_not_from_this_machine(settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True
    sent = {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_SEC_FETCH_MODE": "navigate"}

    assert at_this_machine(RequestFactory().post("/", **sent)) is None  # type: ignore[arg-type]


def test_a_session_counts_for_more_than_the_seat(settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True
    request = RequestFactory().get("/")
    request.user = user_in(Role.VIEWER)
    caller = caller_of(request)
    assert caller is not None
    assert caller.roles == {Role.VIEWER}
    request.user = AnonymousUser()
    assert caller_of(request) is AT_THIS_MACHINE
