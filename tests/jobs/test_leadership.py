from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import leadership
from jobs.models import Leadership

pytestmark = pytest.mark.django_db


def _let_the_lease_run_out() -> None:
    Leadership.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def test_the_first_to_ask_leads_and_renews_within_its_term() -> None:
    assert leadership.leader() is None
    assert [leadership.lead("one") for _ in range(3)] == [1, 1, 1]

    leader = leadership.leader()
    assert leader is not None
    assert (leader.holder, leader.term) == ("one", 1)


def test_a_renewal_moves_the_end_of_the_lease() -> None:
    leadership.lead("one")
    _let_the_lease_run_out()
    assert leadership.leader() is None

    assert leadership.lead("one") == 1
    assert leadership.leader() is not None


def test_a_standby_does_not_lead_while_the_leader_holds_its_lease() -> None:
    leadership.lead("one")

    assert leadership.lead("two") is None


def test_a_standby_takes_over_a_lease_that_ran_out_and_the_thawed_leader_stands_by() -> None:
    leadership.lead("one")
    _let_the_lease_run_out()

    assert leadership.lead("two") == 2
    assert leadership.lead("one") is None


def test_a_leader_that_resigns_is_followed_at_once() -> None:
    leadership.lead("one")
    leadership.resign("one")

    assert leadership.leader() is None
    assert leadership.lead("two") == 2


def test_only_the_leader_can_resign() -> None:
    leadership.lead("one")
    leadership.resign("two")

    assert leadership.lead("two") is None
