"""How the back office writes: Django's forms and confirmations, the entity's operations behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin

from core.access import EntityView, view
from core.access.writing import write
from core.backoffice.forms import EntityForm
from core.backoffice.values import name_of, record_url, slim
from core.entities import Entity, entities
from core.entities.kinds import BadValue, Kind
from core.entities.registry import entity_of_model
from core.kernel.errors import DomainError
from core.kernel.transactions import savepoint
from core.tenancy.actors import Actor


def actor_of(request: HttpRequest) -> Actor:
    """Who acts, as the middleware found."""
    return request.actor  # type: ignore[attr-defined]


class OperationAdmin(ModelAdmin):
    """An admin whose writes go through `core.access.writing`; refusals become errors of the form."""

    removal: ClassVar[tuple[str, str]]

    @property
    def entity(self) -> Entity:
        found = entity_of_model(self.model)
        assert found is not None  # noqa: S101 - registered for entities only
        return found

    def view_of(self, request: HttpRequest) -> EntityView:
        """The entity as the person of this request sees it; one for the request."""
        views: dict[str, EntityView] = request.__dict__.setdefault("entity_views", {})
        if self.entity.name not in views:
            views[self.entity.name] = view(self.entity, actor_of(request))
        return views[self.entity.name]

    def record_url(self, record_id: UUID | str) -> str:
        return record_url(self.entity, record_id)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method != "POST":
            return super().changeform_view(request, object_id, form_url, extra_context)
        try:
            with savepoint():
                return super().changeform_view(request, object_id, form_url, extra_context)
        except DomainError as refusal:
            # Show the form again with what the operation refused.
            if not hasattr(request, "refused_lines"):
                request.refusal = refusal  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, extra_context)

    def save_form(self, request: HttpRequest, form: EntityForm, change: bool) -> Any:
        return form.instance

    def save_model(self, request: HttpRequest, obj: Any, form: EntityForm, change: Any) -> None:
        """Raises: DomainError, which the form shows."""
        seen = self.view_of(request)
        if change:
            if set(form.values) - {"expected_version"}:
                self.write(request, "update", [{**form.values, "id": obj.pk}])
        else:
            obj.pk = self.write(request, "create", [form.values])[0]
        fresh = slim(seen.records().filter(pk=obj.pk), seen).first()
        # What was made may be another's, and so out of sight from now on.
        if fresh is not None:
            obj.__dict__.update({key: value for key, value in fresh.__dict__.items() if key != "_state"})

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Lines, through their own operations. Raises: DomainError, after which the lines show what was refused."""
        refused: dict[str, DomainError] = {}
        for formset in formsets:
            refused |= formset.write()
        if refused:
            request.refused_lines = refused  # type: ignore[attr-defined]
            raise next(iter(refused.values()))

    def write(self, request: HttpRequest, operation: str, rows: Sequence[Mapping[str, Any]]) -> list[UUID]:
        """Rows through the entity's operation, all or none. Raises: DomainError."""
        outcome = write(self.view_of(request), operation, rows, now=timezone.now())
        outcome.raise_if_refused()
        return [outcome.ids[place] for place in sorted(outcome.ids)]

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.write(request, "delete", [{"id": obj.pk}])

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            with savepoint():
                return super().delete_view(
                    request, object_id, {"removal": self.removal, **(extra_context or {})}
                )
        except DomainError as refusal:
            messages.error(request, "; ".join(fault.detail for fault in refusal.faults) or refusal.detail)
            return HttpResponseRedirect(self.record_url(unquote(object_id)))

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], Any, set[str], list[str]]:
        seen = self.view_of(request)
        return [name_of(seen, item) for item in objs], {self.entity.label_plural: len(objs)}, set(), []

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        if "_addanother" in request.POST or "_continue" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        return self._saved(request, obj, "created")

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        if "_addanother" in request.POST or "_continue" in request.POST:
            return super().response_change(request, obj)
        return self._saved(request, obj, "saved")

    def _saved(self, request: HttpRequest, obj: Any, what: str) -> HttpResponse:
        name = name_of(self.view_of(request), obj)
        messages.success(
            request, format_html("{} <strong>{}</strong> was {}.", self.entity.label, name, what)
        )
        parent = self._parent_url(request) if what == "created" else ""
        if parent:
            return HttpResponseRedirect(parent)
        if self.view_of(request).records().filter(pk=obj.pk).exists():
            return HttpResponseRedirect(self.record_url(obj.pk))
        return HttpResponseRedirect(reverse("admin:index"))

    def _parent_url(self, request: HttpRequest) -> str:
        """The page of the record from which this one was added: the relation that the address fills in."""
        for name, field in self.view_of(request).fields.items():
            value = request.GET.get(name, "")
            if value and field.kind is Kind.RELATION:
                try:
                    return record_url(entities[field.to], field.type.from_text(field, value))
                except BadValue:
                    return ""
        return ""

    # The change log is written by the database; Django's own log entries are not kept.

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        return []

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """See above."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """See above."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """See above."""
