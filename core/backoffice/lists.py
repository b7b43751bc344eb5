"""Lists: the API's filters, search and capped counts under Django's change list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.options import (
    IS_FACETS_VAR,
    IS_POPUP_VAR,
    TO_FIELD_VAR,
    IncorrectLookupParameters,
)
from django.contrib.admin.views.main import ALL_VAR, ORDER_VAR, PAGE_VAR, SEARCH_VAR
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.views import ChangeList

from core.access import EntityView
from core.backoffice.values import attach_names, names_of, slim
from core.conditions.params import parse_params
from core.entities import Field, entities
from core.entities.computed import with_computed
from core.entities.kinds import BadValue, Kind
from core.kernel.errors import Invalid
from core.rest.listing import MAX_OFFSET, count_of

# Parameters of the list itself; every other one is a filter as the API takes it.
OWN_PARAMETERS = frozenset(
    {
        ALL_VAR,
        IS_FACETS_VAR,
        IS_POPUP_VAR,
        ORDER_VAR,
        PAGE_VAR,
        SEARCH_VAR,
        TO_FIELD_VAR,
        "e",
        "_changelist_filters",
    }
)
PAGE_SIZE = 50


class CappedPaginator(Paginator):
    """Counts exactly as far as the API does, and estimates beyond."""

    is_exact = True

    @cached_property
    def count(self) -> int:
        found, self.is_exact = count_of(self.object_list)  # type: ignore[arg-type]
        return found

    @property
    def num_pages(self) -> int:
        # Deeper pages read everything before them.
        return int(min(super().num_pages, MAX_OFFSET // self.per_page))


@dataclass
class Filter:
    """One filter as the side sheet shows it: `kind` picks the control, `name` is the API's parameter."""

    name: str
    title: str
    kind: str
    values: dict[str, str] = field(default_factory=dict)
    options: Sequence[tuple[str, str, bool]] = ()
    # For relations: which entity's records to offer, and the name of the one that is chosen.
    to: str = ""
    chosen: tuple[str, str] | None = None

    @property
    def is_active(self) -> bool:
        return any(self.values.values())


class EntityChangeList(ChangeList):
    """`filter_specs` are `Filter`s; a parameter that means nothing is refused, never ignored."""

    result_list: Any

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        # Django calls with positions: the admin is the twelfth after the request.
        self.view: EntityView = args[10].view_of(request)
        super().__init__(request, *args, **kwargs)
        self.title = self.view.entity.label_plural

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [
            (name, value)
            for name, values in self.filter_params.items()
            if name not in OWN_PARAMETERS
            for value in values
            # A form sends its empty controls too.
            if value != ""
        ]

    @property
    def columns(self) -> list[Field]:
        return [shown.field for shown in self.list_display if hasattr(shown, "field")]

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str] | None = None
    ) -> QuerySet[Any]:
        pairs = self.pairs
        self.has_active_filters = bool(pairs)
        self.clear_all_filters_qs = "?" + urlencode({SEARCH_VAR: self.query} if self.query else {})
        self.filter_specs = self._filters(pairs)
        self.has_filters = bool(self.filter_specs)
        try:
            condition = parse_params(pairs, self.view, zone=timezone.get_current_timezone())
        except Invalid as refusal:
            for fault in refusal.faults:
                messages.error(request, f"{fault.path}: {fault.detail}")
            raise IncorrectLookupParameters(refusal.detail) from None
        found = self.root_queryset
        if condition is not None:
            found = found.filter(condition.to_q(now=timezone.now()))
        if self.query:
            found = self.view.search(found, self.query)
        found = with_computed(slim(found, self.view), self.columns)
        if not self.query or ORDER_VAR in self.params:
            found = found.order_by(*self.get_ordering(request, found))
        return found

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        attach_names(self.view, self.result_list, self.columns)

    def url_for_result(self, result: Any) -> str:
        return str(self.model_admin.record_url(result.pk))

    # --- filters -----------------------------------------------------------------------------------------------

    def _filters(self, pairs: list[tuple[str, str]]) -> list[Filter]:
        given = dict(pairs)
        found = []
        for name in self.list_filter:
            item = self._filter(self.view.askable[name], given)
            if item is not None:
                found.append(item)
        shown = {key for item in found for key in item.values}
        # What a link asked for beyond the controls is kept and can be taken back.
        for name, value in pairs:
            if name not in shown:
                found.append(Filter(name, name.replace("__", " ").replace("_", " "), "kept", {name: value}))
        return found

    def _filter(self, item: Field, given: dict[str, str]) -> Filter | None:
        name = item.name
        if item.kind is Kind.CHOICE:
            key = f"{name}__in"
            value = given.get(key, given.get(name, ""))
            chosen = set(value.split(","))
            options = [(code, label, code in chosen) for code, label in item.choices]
            return Filter(
                name, item.label, "choices", {key: given.get(key, ""), name: given.get(name, "")}, options
            )
        if item.kind is Kind.BOOLEAN:
            value = given.get(name, "")
            options = [(code, label, code == value) for code, label in (("true", "Yes"), ("false", "No"))]
            return Filter(name, item.label, "choice", {name: value}, options)
        if item.is_relation:
            value = given.get(name, "")
            labels = self._chosen(item, value)
            return Filter(name, item.label, "relation", {name: value}, (), item.to, labels)
        if item.kind in (Kind.DATE, Kind.DATETIME):
            keys = (f"{name}__gte", f"{name}__lte")
            return Filter(name, item.label, "dates", {key: given.get(key, "") for key in keys})
        if item.type.is_number:
            keys = (f"{name}__gte", f"{name}__lte")
            return Filter(name, item.label, "numbers", {key: given.get(key, "") for key in keys})
        key = f"{name}__contains"
        return Filter(name, item.label, "text", {key: given.get(key, "")})

    def _chosen(self, item: Field, value: str) -> tuple[str, str] | None:
        try:
            record_id = item.type.from_text(item, value)
        except BadValue:
            # `parse_params` says so.
            return None
        return value, names_of(self.view.actor, entities[item.to], [record_id]).get(record_id, value)
