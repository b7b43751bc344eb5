"""Records that belong to the one on the form, edited with it: read as the API reads them, written by their operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.forms.models import BaseInlineFormSet, inlineformset_factory
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import TabularInline

from core.access import EntityView, view
from core.access.writing import write
from core.backoffice.forms import EntityForm, form_class
from core.backoffice.values import Shown, slim
from core.backoffice.writing import actor_of
from core.changes.refusals import refusal as refusal_of
from core.entities.registry import entity_of_model
from core.kernel.errors import DomainError

MAX_LINES = 200
_OPERATIONS = ("delete", "update", "create")


class LinesFormSet(BaseInlineFormSet):
    """The lines of one record. `refusals` is what their operation answered the first time, by the form's prefix."""

    view: ClassVar[EntityView]
    refusals: ClassVar[Mapping[str, DomainError]] = {}
    # What the system says of a line, such as its total.
    shown: ClassVar[Shown | None] = None

    def _construct_form(self, i: int, **kwargs: Any) -> EntityForm:
        form: EntityForm = super()._construct_form(i, **kwargs)  # type: ignore[misc]
        if form.prefix and form.prefix in self.refusals:
            form.refuse(self.refusals[form.prefix])
        return form

    def get_form_kwargs(self, index: int | None) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().get_form_kwargs(index)
        if self.instance._state.adding:
            return kwargs | {"comes_with": self.fk.name}
        return kwargs | {"given": {self.fk.name: str(self.instance.pk)}}

    def get_unique_error_message(self, unique_check: Sequence[str]) -> str:
        raise NotImplementedError("the operation checks")

    def validate_unique(self) -> None:
        """The operation does."""

    def write(self) -> dict[str, DomainError]:
        """What the person changed, through the operations. Needs a transaction.

        Answers the refusals by the form's prefix; whoever gets any undoes everything.
        """
        refused: dict[str, DomainError] = {}
        for operation in _OPERATIONS:
            rows = list(self._rows(operation))
            if not rows:
                continue
            outcome = write(self.view, operation, [row for _, row in rows], now=timezone.now())
            for place, faults in outcome.refused.items():
                refused[rows[place][0]] = refusal_of({0: faults})
        return refused

    def _rows(self, operation: str) -> Iterator[tuple[str, dict[str, Any]]]:
        form: Any
        for form in self.initial_forms:
            if form in self.deleted_forms:
                if operation == "delete":
                    yield form.prefix, {"id": form.instance.pk}
            elif operation == "update" and set(form.values) - {"expected_version"}:
                yield form.prefix, {**form.values, "id": form.instance.pk}
        if operation == "create":
            for form in self.extra_forms:
                if form.has_changed() and form not in self.deleted_forms:
                    yield form.prefix, {**form.values, self.fk.name: self.instance.pk}


class EntityInline(TabularInline):
    """Lines of one kind under a record's form: `fields_written` are edited, `shown` is the system's."""

    template = "backoffice/parts/lines.html"
    extra = 0
    max_num = MAX_LINES
    fields_written: ClassVar[Sequence[str]]
    shown: ClassVar[str] = ""

    def view_of(self, request: HttpRequest) -> EntityView:
        entity = entity_of_model(self.model)
        assert entity is not None  # noqa: S101 - registered for entities only
        return view(entity, actor_of(request))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.view_of(request).can("read")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.view_of(request).can("create")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.view_of(request).can("update")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.view_of(request).can("delete")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        seen = self.view_of(request)
        ordering = seen.askable[seen.default_ordering.removeprefix("-")].column
        return slim(seen.records(), seen).order_by(ordering, "pk")

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> type[Any]:
        seen = self.view_of(request)
        names = [name for name in self.fields_written if name in seen.editable]
        made: Any = inlineformset_factory(
            self.parent_model,
            self.model,
            form=form_class(seen, names),
            formset=LinesFormSet,
            fk_name=self.fk_name,
            fields=(),
            extra=self.extra,
            max_num=self.max_num,
            can_delete=self.has_delete_permission(request),
        )
        made.view = seen
        made.refusals = getattr(request, "refused_lines", {})
        if self.shown in seen.fields:
            made.shown = Shown(seen.fields[self.shown])
        return made
