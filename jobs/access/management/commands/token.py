"""`manage.py token`: make, list and revoke API tokens."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from jobs.access import audit, tokens
from jobs.access.models import Token
from jobs.access.roles import Act, Caller, Role, roles_of

_WIDE = 160  # columns, where nobody looks on


class Command(BaseCommand):
    help = "Make, list and revoke API tokens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="make a token; its secret is printed this once, alone on stdout")
        create.add_argument("--user", required=True, help="whose it is, and whose jobs are submitted with it")
        create.add_argument("--role", choices=list(Role), help="make the user where there is none, with this role")
        create.add_argument("--name", required=True, help="what it is for")
        create.add_argument(
            "--scope", action="append", choices=list(Act), default=[], help="narrow it down; may be repeated"
        )
        create.add_argument("--days", type=float, default=365.0, help="until it expires; 0: never (default: 365)")
        create.add_argument("--requests-per-minute", type=int, help="its own limit; 0: none")
        create.add_argument("--backlog", type=int, help="unfinished jobs that its user may have; 0: any number")
        verbs.add_parser("list", help="show all tokens")
        revoke = verbs.add_parser("revoke", help="make a token worthless")
        revoke.add_argument("prefix", help="how it begins, as `token list` shows it")

    def handle(self, *_: Any, **options: Any) -> None:
        words = Console(stderr=True, highlight=False)
        match options["verb"]:
            case "create":
                self._create(words, options)
            case "list":
                _print(table(tokens.shown()), self.stdout)
            case "revoke":
                self._revoke(words, options["prefix"])

    def _create(self, words: Console, options: dict[str, Any]) -> None:
        with transaction.atomic():
            user = _user(options["user"], options["role"])
            token, secret = tokens.create(
                user,
                options["name"],
                scopes=options["scope"],
                lasts=timedelta(days=options["days"]) if options["days"] else None,
                requests_per_minute=options["requests_per_minute"],
                backlog=options["backlog"],
            )
            _record("create token", token)
        words.print(f"A token of {user.get_username()} for {token.name}. It is shown this once:", markup=False)
        self.stdout.write(secret)
        until = f"until {token.expires_at:%d %B %Y}" if token.expires_at else "until it is revoked"
        words.print(f"It is good {until}. Send it as Authorization: Bearer …", markup=False)

    def _revoke(self, words: Console, prefix: str) -> None:
        found = list(Token.objects.filter(prefix__startswith=prefix, revoked_at=None)[:2])
        if len(found) != 1:
            raise CommandError(f"{'No token' if not found else 'More than one token'} that is good begins like that.")
        with transaction.atomic():
            tokens.revoke(found[0])
            _record("revoke token", found[0])
        words.print(f"Revoked. Within {tokens.KEPT_SECONDS:.0f} seconds nothing takes it.")


def _user(name: str, role: str | None) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        if role is None:
            raise CommandError(f"There is no user {name!r}. Say --role to make one.")
        user = User.objects.create_user(name)
        user.groups.add(Group.objects.get(name=role))
        return user
    roles = roles_of(user)
    if not roles:
        raise CommandError(f"{name} has no role, or is switched off: see to that in the admin first.")
    if role is not None and Role(role) not in roles:
        raise CommandError(f"{name} is there already, as {', '.join(sorted(roles))}. Roles are given in the admin.")
    return user


def _record(verb: str, token: Token) -> None:
    caller = Caller(f"{getpass.getuser()}, on the command line", frozenset({Role.ADMIN}))
    audit.record(caller, verb, [token], door="manage.py token", user=token.user.get_username())


def _print(what: Table, stdout: Any) -> None:
    """To where the command writes: as wide as that is, where it is a terminal."""
    Console(file=stdout, highlight=False, width=None if stdout.isatty() else _WIDE).print(what)


def table(found: list[Token]) -> Table:
    columns = Table("token", "user", "for", "may", "expires", "last used", title=f"{len(found)} tokens")
    for token in found:
        columns.add_row(
            f"{token.prefix}…",
            token.user.get_username(),
            token.name,
            ", ".join(token.scopes) or "all of its user's",
            _expiry(token),
            f"{token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never",
            style="dim" if token.revoked_at else "",
        )
    return columns


def _expiry(token: Token) -> str:
    if token.revoked_at:
        return f"revoked {token.revoked_at:%Y-%m-%d}"
    if token.expires_at is None:
        return "never"
    over = " (over)" if token.expires_at < timezone.now() else ""
    return f"{token.expires_at:%Y-%m-%d}{over}"
