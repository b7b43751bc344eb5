"""People, roles and keys in the back office."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from core.backoffice.entity_admin import EntityAdmin
from core.backoffice.forms import ActionForm, Control, choice_select, password_input, text_input
from core.backoffice.guided import guided_page
from core.backoffice.history import read_history
from core.backoffice.permissions import permission_control
from core.backoffice.record_pages import ActionLink
from core.backoffice.writing import actor_of
from core.identity.models import ApiKey, Person, Role
from core.identity.operations import create_api_key, resend_invitation, rotate_api_key, set_member_password
from core.identity.operations.api_keys import NewApiKey
from core.identity.rights import MANAGE_SETTINGS, MANAGE_USERS, PERMISSION_WORDS, covers
from core.kernel.errors import DomainError, Forbidden
from core.kernel.transactions import savepoint
from core.tenancy.actors import Actor

OVERLAPS = (
    ("0", "Nothing: it ends now"),
    ("3600", "One hour"),
    ("86400", "One day"),
    ("604800", "Seven days"),
)


def _manages(request: HttpRequest) -> bool:
    return actor_of(request).rights.can(MANAGE_USERS)


@admin.register(Person)
class PersonAdmin(EntityAdmin):
    """Members of the company and people invited. Removing a member makes them inactive: what they did stays theirs."""

    section, icon, position = "Setup", "group", 10
    columns = ("full_name", "email", "role", "manager", "state", "last_login")
    filters = ("role", "manager", "state")
    key_facts = ("email", "role", "manager", "state", "last_login", "invited_until")
    groups = (("Person", ("email", "first_name", "last_name", "role", "manager", "is_active")),)
    related = ()
    removal = (
        "Deactivate",
        "can no longer sign in to this company, and an invitation ends. What they did and own stays as it is.",
    )

    def history_of(self, request: HttpRequest, record: Any) -> list[Any]:
        logged_as = "invitation" if record.state == Person.State.INVITED else "membership"
        return read_history(self.view_of(request), self.logged_id(record), logged_as=logged_as)

    def logged_id(self, record: Any) -> UUID:
        return record.membership_id

    def extra_urls(self, named: Any) -> list[Any]:
        return [
            named("<uuid:record_id>/password/", self.password_view, "set_password"),
            named("<uuid:record_id>/invitation/", self.invitation_view, "resend_invitation"),
        ]

    def record_actions(self, request: HttpRequest, record: Any) -> list[ActionLink]:
        if not self.has_change_permission(request, record):
            return []
        if record.pk == actor_of(request).user_id:
            return [ActionLink("Change password", reverse("admin:own_password"), "password")]
        if record.state == Person.State.INVITED:
            url = reverse("admin:core_person_resend_invitation", args=[record.pk])
            return [ActionLink("Send the invitation again", url, "mail")]
        return [
            ActionLink(
                "Set password", reverse("admin:core_person_set_password", args=[record.pk]), "password"
            )
        ]

    def password_view(self, request: HttpRequest, record_id: UUID) -> HttpResponse:
        """Give a member who belongs to this company alone a new password."""
        if not self.has_change_permission(request):
            raise Forbidden()
        person = self.get_record(request, str(record_id), "update")

        def act(filled: dict[str, Any]) -> tuple[str, str]:
            set_member_password(
                actor_of(request), user_id=person.pk, password=filled["password"], now=timezone.now()
            )
            return self.record_url(person.pk), f"{person} has a new password; tell them in private."

        return guided_page(
            self,
            request,
            person,
            title=f"Set the password of {person}",
            submit_label="Set password",
            lead_in="All their sessions in this company end.",
            fields={
                "password": forms.CharField(
                    label="New password", strip=False, widget=password_input("new-password")
                )
            },
            act=act,
        )

    def invitation_view(self, request: HttpRequest, record_id: UUID) -> HttpResponse:
        """Mail somebody invited a new link."""
        if not self.has_change_permission(request):
            raise Forbidden()
        person = self.get_record(request, str(record_id), "update")

        def act(filled: dict[str, Any]) -> tuple[str, str]:
            resend_invitation(actor_of(request), invitation_id=person.pk, now=timezone.now())
            return self.record_url(person.pk), f"A new invitation is on its way to {person.email}."

        return guided_page(
            self,
            request,
            person,
            title=f"Invite {person.email} again",
            submit_label="Send the invitation",
            lead_in="They get an email with a new link, which works once within seven days. The earlier link ends.",
            fields={},
            act=act,
        )


@admin.register(Role)
class RoleAdmin(EntityAdmin):
    section, icon, position = "Setup", "shield_person", 20
    columns = ("name", "record_scope", "permissions", "is_builtin")
    groups = (("Role", ("name", "record_scope", "permissions")),)
    controls: ClassVar[dict[str, Control]] = {"permissions": permission_control}
    related = ("user.role",)


class NewKeyForm(ActionForm):
    """What the person may allow a machine: no more than they may do themselves."""

    name = forms.CharField(widget=text_input(autocomplete="off"), help_text="Which program uses it.")
    words = forms.MultipleChoiceField(
        label="It may", required=False, widget=forms.CheckboxSelectMultiple(), choices=()
    )
    single = forms.CharField(
        label="And for single kinds of records",
        required=False,
        help_text="Such as read:lead, update:deal; separated by commas.",
        widget=text_input(autocomplete="off"),
    )
    expires_at = forms.DateTimeField(
        label="Ends at", required=False, widget=text_input("datetime-local"), help_text="Empty: never."
    )

    def __init__(self, actor: Actor, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        held = actor.rights.permissions
        words: Any = self.fields["words"]
        words.choices = [(word, PERMISSION_WORDS[word]) for word in _in_order() if covers(held, word)]

    @property
    def scopes(self) -> list[str]:
        single = (part.strip() for part in self.cleaned_data["single"].split(","))
        return [*self.cleaned_data["words"], *(word for word in single if word)]


def _in_order() -> Iterator[str]:
    """The words of permission as they were declared, the widest last."""
    names = list(PERMISSION_WORDS.names())
    yield from sorted(names, key=lambda word: (word in ("*", MANAGE_USERS, MANAGE_SETTINGS), word == "*"))


@admin.register(ApiKey)
class ApiKeyAdmin(EntityAdmin):
    """Keys of the person's own are made here, and everyone's are narrowed, rotated and revoked."""

    section, icon, position = "Setup", "key", 25
    columns = ("name", "user", "prefix", "scopes", "expires_at", "last_used_at", "revoked_at")
    related = ()
    removal = ("Revoke", "stops working at once and for good.")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _manages(request)

    def extra_urls(self, named: Any) -> list[Any]:
        return [named("<uuid:record_id>/rotate/", self.rotate_view, "rotate")]

    def record_actions(self, request: HttpRequest, record: Any) -> list[ActionLink]:
        ended = record.revoked_at or (record.expires_at and record.expires_at <= timezone.now())
        if ended or not self.has_change_permission(request, record):
            return []
        return [ActionLink("Rotate", reverse("admin:core_apikey_rotate", args=[record.pk]), "autorenew")]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise Forbidden()
        actor = actor_of(request)
        form = NewKeyForm(actor, request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_valid():
            try:
                with savepoint():
                    made = create_api_key(
                        actor,
                        name=form.cleaned_data["name"],
                        scopes=form.scopes,
                        expires_at=form.cleaned_data["expires_at"],
                        now=timezone.now(),
                    )
            except DomainError as refusal:
                form.show_faults(refusal, {"scopes": "single"})
            else:
                return self._show_once(request, made, f"{form.cleaned_data['name']} is ready")
        context = {
            **self.admin_site.each_context(request),
            "title": "New API key",
            "opts": self.opts,
            "form": form,
            "lead_in": "A program signs in with it and acts as you, within what you allow here and may do yourself.",
            "submit_label": "Make the key",
            "back_url": reverse("admin:core_apikey_changelist"),
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "backoffice/action.html", context)

    def rotate_view(self, request: HttpRequest, record_id: UUID) -> HttpResponse:
        """A new key in place of this one."""
        if not self.has_change_permission(request):
            raise Forbidden()
        key = self.get_record(request, str(record_id), "update")

        def act(filled: dict[str, Any]) -> HttpResponse:
            overlap = timedelta(seconds=int(filled["overlap"]))
            made = rotate_api_key(actor_of(request), key_id=key.pk, overlap=overlap, now=timezone.now())
            return self._show_once(request, made, f"{key.name} was rotated")

        return guided_page(
            self,
            request,
            key,
            title=f"Rotate {key.name}",
            submit_label="Make the new key",
            lead_in="A new key of the same name and permissions takes the place of this one.",
            fields={
                "overlap": forms.ChoiceField(
                    label="How long the old one goes on", choices=OVERLAPS, widget=choice_select(OVERLAPS)
                )
            },
            initial={"overlap": "86400"},
            aliases={"overlap_seconds": "overlap"},
            act=act,
        )

    def _show_once(self, request: HttpRequest, made: NewApiKey, title: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "secret": made.key,
            "record_url": self.record_url(made.id),
        }
        return TemplateResponse(request, "backoffice/new_secret.html", context)
