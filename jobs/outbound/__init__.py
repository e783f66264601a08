"""The one way out to other people's servers.

Whatever the platform fetches or calls on somebody's behalf goes through here: one reading of the URL, one lookup with
a deadline, every address checked, and the connection made to the address that was checked. ``resolve`` serves code
that brings its own sockets, ``session`` everything else.
"""

from __future__ import annotations

from jobs.outbound.addresses import AddressDenied, AddressPolicy, current_policy
from jobs.outbound.calls import AnswerTooLarge, AnswerTooSlow, CallStopped, session
from jobs.outbound.lookup import resolve
from jobs.outbound.urls import Target, UrlDenied, check_url

__all__ = [
    "AddressDenied",
    "AddressPolicy",
    "AnswerTooLarge",
    "AnswerTooSlow",
    "CallStopped",
    "Target",
    "UrlDenied",
    "check_url",
    "current_policy",
    "resolve",
    "session",
]
