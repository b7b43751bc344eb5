"""What can be done with many records of a list at once, through the entity's operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from core.access import EntityView
from core.access.writing import MAX_ROWS, write
from core.backoffice.forms import ActionForm, search_select, text_input
from core.backoffice.values import name_of, slim
from core.changes import Outcome
from core.entities.kinds import MAX_TAG_LENGTH
from core.kernel.errors import DomainError, Invalid
from core.kernel.transactions import savepoint

if TYPE_CHECKING:
    from core.backoffice.entity_admin import EntityAdmin

NAMES_SHOWN = 20
CONFIRMED = "confirmed"
Rows = list[dict[str, Any]]


def offered(admin: EntityAdmin, request: HttpRequest) -> dict[str, tuple[Any, str, str]]:
    """The actions of a list, by name, as Django wants them."""
    seen = admin.view_of(request)
    found: dict[str, tuple[Any, str, str]] = {}

    def offer(name: str, label: str, action: Callable[..., HttpResponse | None]) -> None:
        found[name] = (action, name, label)

    if admin.has_change_permission(request):
        owner = seen.entity.owner
        if owner is not None and owner.name in seen.editable:
            offer("assign_owner", "Assign owner", assign_owner)
        if "tags" in seen.editable:
            offer("add_tag", "Add tag", add_tag)
    if admin.has_delete_permission(request):
        where = "Move to recycle bin" if seen.entity.is_soft_deleted else admin.removal[0]
        offer("delete_selected", where, delete_selected)
    return found


def assign_owner(admin: EntityAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
    """Give the chosen records another owner."""
    seen = admin.view_of(request)
    owner = seen.entity.owner
    assert owner is not None  # noqa: S101 - offered only then

    class OwnerForm(ActionForm):
        owner_id = forms.CharField(label="New owner", widget=search_select("user", seen.actor))

    def rows(form: forms.Form) -> Rows:
        values = seen.read_input(
            {owner.name: form.cleaned_data["owner_id"]}, partial=True, operation="update"
        )
        return [{**values, "id": key} for key in queryset.order_by().values_list("pk", flat=True)]

    return _run(admin, request, queryset, "assign_owner", "Assign owner", "update", rows, OwnerForm)


def add_tag(admin: EntityAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
    """Add one tag to the chosen records, beside those they have."""
    seen = admin.view_of(request)

    class TagForm(ActionForm):
        tag = forms.CharField(label="Tag", max_length=MAX_TAG_LENGTH, widget=text_input())

    def rows(form: forms.Form) -> Rows:
        added = seen.read_input({"tags": [form.cleaned_data["tag"]]}, partial=True, operation="update")[
            "tags"
        ]
        return [
            {"id": key, "tags": [*tags, *(item for item in added if item not in tags)]}
            for key, tags in queryset.order_by().values_list("pk", "tags")
        ]

    return _run(admin, request, queryset, "add_tag", "Add tag", "update", rows, TagForm)


def delete_selected(admin: EntityAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
    """Move the chosen records to the recycle bin, or delete those that have none."""

    def rows(form: forms.Form) -> Rows:
        return [{"id": key} for key in queryset.order_by().values_list("pk", flat=True)]

    title = "Move to recycle bin" if admin.entity.is_soft_deleted else "Delete"
    return _run(admin, request, queryset, "delete_selected", title, "delete", rows, ActionForm)


def _run(
    admin: EntityAdmin,
    request: HttpRequest,
    queryset: QuerySet[Any],
    action: str,
    title: str,
    operation: str,
    rows: Callable[[Any], Rows],
    form_type: type[ActionForm],
) -> HttpResponse | None:
    """Ask on a page of its own, then write and say what became of each record."""
    seen = admin.view_of(request)
    form = form_type(request.POST if CONFIRMED in request.POST else None)
    if form.is_bound and form.is_valid():
        try:
            wanted = rows(form)
            if len(wanted) > MAX_ROWS:
                raise Invalid(f"At most {MAX_ROWS} records go at once.")
            with savepoint():
                outcome = write(seen, operation, wanted, now=timezone.now(), all_or_none=False)
        except DomainError as refusal:
            form.show_faults(refusal, {"owner": "owner_id", "tags": "tag"})
        else:
            _report(request, seen, operation, outcome)
            return HttpResponseRedirect(request.get_full_path())
    shown = list(slim(queryset, seen)[: NAMES_SHOWN + 1])
    context: Mapping[str, Any] = {
        **admin.admin_site.each_context(request),
        "title": title,
        "opts": admin.opts,
        "form": form,
        "action": action,
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "names": [name_of(seen, record) for record in shown[:NAMES_SHOWN]],
        "has_more": len(shown) > NAMES_SHOWN,
        "is_removal": operation == "delete",
        "media": admin.media + form.media,
    }
    return TemplateResponse(request, "backoffice/bulk_action.html", dict(context))


def _report(request: HttpRequest, seen: EntityView, operation: str, outcome: Outcome) -> None:
    done = len(outcome.ids) - len(outcome.unchanged)
    past = "updated"
    if operation == "delete":
        past = "moved to the recycle bin" if seen.entity.is_soft_deleted else "deleted"
    noun = seen.entity.noun if done == 1 else seen.entity.noun_plural
    if done or not outcome.refused:
        messages.success(request, f"{done} {noun} {past}.")
    if outcome.unchanged:
        messages.info(request, f"{len(outcome.unchanged)} were so already.")
    if outcome.refused:
        reasons = sorted({fault.detail for faults in outcome.refused.values() for fault in faults})
        messages.error(request, f"{len(outcome.refused)} refused: {' '.join(reasons)}")
