"""Tokens and the record of actions, for those whose role allows it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from jobs.access import tokens
from jobs.access.audit import acting
from jobs.access.callers import of_user
from jobs.access.models import Action, Token
from jobs.access.recording import Recorded
from jobs.access.roles import Act
from jobs.admin import ReadOnlyAdmin


class TokenForm(forms.ModelForm[Token]):
    scopes = forms.MultipleChoiceField(
        choices=[(act.value, act.value) for act in Act],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="What it is good for, as far as its user's role allows. None chosen: all of that.",
    )

    class Meta:
        model = Token
        fields = ("user", "name", "scopes", "expires_at", "requests_per_minute", "backlog")


@admin.register(Token)
class TokenAdmin(ReadOnlyAdmin):
    """Tokens are made and revoked; to change one, make another."""

    needs = Act.MANAGE
    form = TokenForm
    list_display = ("name", "user", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_select_related = ("user",)
    search_fields = ("name", "user__username", "prefix")
    ordering = ("-id",)
    actions = ("revoke_tokens",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:  # noqa: ARG002
        return TokenForm.Meta.fields if obj is None else self.list_display

    def save_model(self, request: HttpRequest, obj: Token, form: Any, change: bool) -> None:  # noqa: ARG002
        given = form.cleaned_data
        lasts = given["expires_at"] - timezone.now() if given["expires_at"] else None
        with acting(request, of_user(request.user), "create token") as detail:
            made, secret = tokens.create(
                given["user"],
                given["name"],
                scopes=[Act(scope) for scope in given["scopes"]],
                lasts=lasts,
                requests_per_minute=given["requests_per_minute"],
                backlog=given["backlog"],
            )
            detail |= {"token": str(made), "user": made.user.get_username()}
        obj.pk = made.pk
        request.secret = secret  # type: ignore[attr-defined] # for the one page that shows it

    def response_add(self, request: HttpRequest, obj: Token, post_url_continue: str | None = None) -> HttpResponse:  # noqa: ARG002
        secret = request.secret  # type: ignore[attr-defined]
        context = {**self.admin_site.each_context(request), "token": obj, "secret": secret}
        return TemplateResponse(request, "access/token_made.html", context, headers={"Cache-Control": "no-store"})

    @admin.action(description="Revoke", permissions=["view"])
    def revoke_tokens(self, request: HttpRequest, rows: QuerySet[Token]) -> None:
        chosen = list(rows.order_by("id"))
        with transaction.atomic(), acting(request, of_user(request.user), "revoke token", chosen):
            revoked = sum(tokens.revoke(token) for token in chosen)
        messages.success(request, f"{revoked} revoked; within {tokens.KEPT_SECONDS:.0f} seconds nothing takes them.")


# What is done to users and groups decides who may do what, so it is in the record too.
class RecordedUsers(Recorded, UserAdmin[User]):
    pass


class RecordedGroups(Recorded, GroupAdmin):
    pass


admin.site.unregister(User)
admin.site.unregister(Group)
admin.site.register(User, RecordedUsers)
admin.site.register(Group, RecordedGroups)


@admin.register(Action)
class ActionAdmin(ReadOnlyAdmin):
    needs = Act.AUDIT
    list_display = ("at", "actor", "verb", "count", "door", "address")
    list_filter = ("verb",)
    search_fields = ("actor", "=request_id")
    ordering = ("-id",)
