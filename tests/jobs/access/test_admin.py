"""Django's admin: who may enter, what each role finds there, and tokens that are shown once."""

from __future__ import annotations

import html
import re

import pytest
import redis
from django.contrib.auth.models import Group, User
from django.test import Client

from jobs import lifecycle
from jobs.access import passwords, tokens
from jobs.access.models import Action, Token
from jobs.access.roles import Role
from tests.jobs.access.callers import user_in

pytestmark = pytest.mark.django_db

SEEN = {"jobs/job", "jobs/attempt", "jobs/node", "jobs/leadership", "downloads/download"}
LISTS = SEEN | {"access/action", "access/token"}


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        (Role.VIEWER, SEEN),
        (Role.SUBMITTER, set()),
        (Role.OPERATOR, SEEN | {"access/action"}),
        (Role.ADMIN, LISTS),
    ],
)
def test_staff_find_in_the_admin_what_their_role_may_see(client: Client, role: Role, seen: set[str]) -> None:
    client.force_login(user_in(role, is_staff=True))

    assert {name for name in LISTS if client.get(f"/admin/{name}/").status_code == 200} == seen


def test_who_is_not_staff_is_asked_to_sign_in(client: Client) -> None:
    client.force_login(user_in(Role.ADMIN))
    for name in LISTS:
        answer = client.get(f"/admin/{name}/")
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/admin/login/")
    assert client.get("/admin/login/").status_code == 200


def test_a_viewer_can_look_at_a_job_and_do_nothing_to_it(client: Client) -> None:
    job = lifecycle.submit("echo")
    client.force_login(user_in(Role.VIEWER, is_staff=True))
    assert "cancel_jobs" not in client.get("/admin/jobs/job/").content.decode()
    client.post("/admin/jobs/job/", {"action": "cancel_jobs", "_selected_action": [str(job.id)]})
    job.refresh_from_db()
    assert job.state == "queued"


def test_a_token_is_made_shown_once_and_revoked(client: Client) -> None:
    ada = user_in(Role.SUBMITTER, name="ada")
    client.force_login(User.objects.create_superuser("boss"))
    given = {"user": ada.pk, "name": "laptop", "scopes": ["see"], "expires_at_0": "", "expires_at_1": ""}
    page = client.post("/admin/access/token/add/", given)
    shown = re.search(r"haulway_[\w-]{40,}", html.unescape(page.content.decode()))

    assert shown, page.content.decode()
    assert "no-store" in page["Cache-Control"]
    known = tokens.known(shown[0])
    assert known is not None
    assert known.user == ada
    token = Token.objects.get()
    assert token.scopes == ["see"]
    for path in ("/admin/access/token/", f"/admin/access/token/{token.pk}/change/"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert shown[0] not in answer.content.decode()
        assert token.digest not in answer.content.decode()
    client.post("/admin/access/token/", {"action": "revoke_tokens", "_selected_action": [token.pk]})
    assert tokens.known(shown[0]) is None
    assert list(Action.objects.order_by("id").values_list("verb", flat=True)) == ["create token", "revoke token"]


def test_who_gives_somebody_a_role_is_recorded(client: Client) -> None:
    client.force_login(User.objects.create_superuser("boss"))
    ada = User.objects.create_user("ada")
    given = {"username": "ada", "is_active": "on", "groups": Group.objects.get(name=Role.OPERATOR).pk}
    given |= {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    answer = client.post(f"/admin/auth/user/{ada.pk}/change/", given)
    assert answer.status_code == 302, answer.content.decode()
    client.post(f"/admin/auth/user/{ada.pk}/delete/", {"post": "yes"})

    found = list(Action.objects.order_by("id").values_list("actor", "verb", "targets", "detail"))
    assert found[0] == ("boss", "change user", ["ada"], {"roles": {"ada": ["operator"]}})
    assert found[1][:3] == ("boss", "delete user", ["ada"])
    assert not User.objects.filter(username="ada").exists()


def test_nobody_can_write_the_record_of_what_was_done(client: Client) -> None:
    boss = User.objects.create_superuser("boss")
    action = Action.objects.create(actor="ada", verb="cancel", count=0, door="test")
    client.force_login(boss)

    assert client.get(f"/admin/access/action/{action.pk}/change/").status_code == 200
    assert client.get("/admin/access/action/add/").status_code == 403
    assert client.post(f"/admin/access/action/{action.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(f"/admin/access/action/{action.pk}/change/", {"actor": "nobody"}).status_code == 403
    assert Action.objects.get().actor == "ada"


def test_passwords_cannot_be_guessed_at_speed_and_nobody_is_locked_out_from_elsewhere(
    client: Client, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_FOR_ONE", 1)  # a minute: however slow the machine, the next one comes too soon
    User.objects.create_superuser("boss", password="the-right-one")

    def signs_in(password: str, address: str) -> bool:
        given = {"username": "boss", "password": password}
        return client.post("/admin/login/", given, REMOTE_ADDR=address).status_code == 302

    assert not signs_in("a-guess", "192.0.2.1")
    assert not signs_in("the-right-one", "192.0.2.1")
    assert signs_in("the-right-one", "192.0.2.2")
