"""`EntityAdmin`: one entity in the back office. What it shows comes from the registry, rights from the `EntityView`,
and every write goes through the entity's operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminAutocompleteWidget

from core.access import EntityView
from core.access.actions import can_perform
from core.backoffice import bulk_actions, record_pages
from core.backoffice.forms import Control, EntityForm, form_class
from core.backoffice.guided import Guide, action_page
from core.backoffice.history import last_change_by_others, read_history
from core.backoffice.inlines import EntityInline
from core.backoffice.lists import PAGE_SIZE, CappedPaginator, EntityChangeList
from core.backoffice.values import Shown, attach_names, name_of, slim, title_fields
from core.backoffice.writing import OperationAdmin
from core.entities import Field, actions_of
from core.entities.computed import with_computed
from core.entities.kinds import Kind
from core.kernel.errors import DomainError, NotFound, Stale

COLUMNS_SHOWN = 7
FILTERS_SHOWN = 10
# What a list shows besides the title, as far as an entity has it, in this order.
LISTED_MEANINGS = (
    "account",
    "company_name",
    "stage",
    "status",
    "amount",
    "close_date",
    "due_date",
    "email",
    "owner",
)
SYSTEM_FIELDS = ("id", "created_at", "created_by", "updated_at", "updated_by", "version")
FILTERED_KINDS = (Kind.CHOICE, Kind.BOOLEAN, Kind.RELATION, Kind.PERSON, Kind.DATE, Kind.DATETIME, Kind.TAGS)


class EntityAdmin(OperationAdmin):
    """Lists, forms, record page, history and bulk actions of one entity.

    A subclass says where it stands in the navigation and may name columns, filters and groups of fields; without, they
    follow from the registry.
    """

    # Navigation: a section of `core.backoffice.site.SECTIONS`, a Material symbol, the place inside.
    section: ClassVar[str] = "Setup"
    icon: ClassVar[str] = "database"
    position: ClassVar[int] = 100
    in_navigation: ClassVar[bool] = True

    columns: ClassVar[Sequence[str]] = ()
    filters: ClassVar[Sequence[str]] = ()
    # (title, field names) of the form and the record page; fields not named come last, under "More".
    groups: ClassVar[Sequence[tuple[str, Sequence[str]]]] = ()
    # What makes the control of a field whose kind does not say enough.
    controls: ClassVar[Mapping[str, Control]] = {}
    # What the pages of declared actions show beyond what the actions declare, by the action's name.
    guides: ClassVar[Mapping[str, Guide]] = {}
    # Records of other kinds edited with this one.
    lines: ClassVar[Sequence[type[EntityInline]]] = ()
    # What stands at the top of the record page; empty: what the list shows.
    key_facts: ClassVar[Sequence[str]] = ()
    # Relations of other entities whose records are listed on the record page, as "entity.field"; None: all.
    related: ClassVar[Sequence[str] | None] = None
    # What removing one is called and does, where it does not go to the recycle bin.
    removal: ClassVar[tuple[str, str]] = ("Delete", "will be gone for good.")

    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = PAGE_SIZE
    list_max_show_all = 0
    list_filter_submit = True
    list_disable_select_all = True
    list_fullwidth = True
    compressed_fields = True
    warn_unsaved_form = True
    actions = None
    delete_confirmation_template = "backoffice/delete.html"
    object_history_template = "backoffice/history.html"
    change_form_template = "backoffice/change_form.html"
    change_list_template = "backoffice/change_list.html"

    @property
    def media(self) -> forms.Media:
        # Django's own plus the search select; the theme's collects it from a request kept between requests.
        return super(ModelAdmin, self).media + forms.Media(UnfoldAdminAutocompleteWidget.Media)

    # --- rights ------------------------------------------------------------------------------------------------

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.view_of(request).can("read")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.view_of(request).can("read")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.entity.writes.create is not None and self.view_of(request).can("create")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.entity.writes.update is not None and self._may(request, obj, "update")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.entity.writes.delete is not None and self._may(request, obj, "delete")

    def _may(self, request: HttpRequest, record: Any, verb: str) -> bool:
        """Whether the person has the verb; with a record that `get_object` found, whether it is open for that record."""
        seen = self.view_of(request)
        return seen.can(verb) and (record is None or seen.allows(record, verb))

    # --- reading -----------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.view_of(request).records()

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The record with the names of what it points to; None for what the person does not see."""
        seen = self.view_of(request)
        among = with_computed(slim(seen.records(), seen), seen.fields.values())
        among = seen.with_verbs(among, ("update", "delete"))
        try:
            record = seen.get(object_id, among)
        except NotFound:
            return None
        attach_names(seen, [record], seen.fields.values())
        return record

    def get_record(self, request: HttpRequest, object_id: str, verb: str = "read") -> Any:
        """Raises: Http404; Forbidden for a record that the person sees and the verb is not open for."""
        record = self.get_object(request, unquote(object_id))
        if record is None:
            raise Http404
        seen = self.view_of(request)
        if not seen.allows(record, verb):
            raise seen.not_open(verb)
        return record

    # --- list --------------------------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[EntityChangeList]:
        return EntityChangeList

    def listed_fields(self, seen: EntityView) -> list[Field]:
        names = self.columns or (
            *(field.name for field in title_fields(seen)),
            *(
                seen.entity.by_meaning[item].name
                for item in LISTED_MEANINGS
                if item in seen.entity.by_meaning
            ),
            *(name for name, field in seen.fields.items() if field.kind is Kind.CHOICE),
            "created_at",
        )
        return [seen.fields[name] for name in dict.fromkeys(names) if name in seen.fields][:COLUMNS_SHOWN]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [Shown(field, brief=True) for field in self.listed_fields(self.view_of(request))]

    def get_list_display_links(self, request: HttpRequest, list_display: Sequence[Any]) -> Sequence[Any]:
        return list(list_display)[:1]

    def get_list_filter(self, request: HttpRequest) -> list[str]:
        seen = self.view_of(request)
        names = self.filters or [
            name
            for name, field in seen.askable.items()
            if field.filterable and field.kind in FILTERED_KINDS and name not in ("created_by", "updated_by")
        ]
        return [name for name in names if name in seen.askable and seen.askable[name].filterable][
            :FILTERS_SHOWN
        ]

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return tuple(field.name for field in self.view_of(request).searched)

    def get_ordering(self, request: HttpRequest) -> list[str]:
        seen = self.view_of(request)
        name = seen.default_ordering
        column = seen.askable[name.removeprefix("-")].column
        return [f"-{column}" if name.startswith("-") else column]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # `EntityChangeList` reads every parameter as the API does; Django's own lookups are not offered.
        return False

    def get_actions(self, request: HttpRequest) -> dict[str, tuple[Any, str, str]]:
        if IS_POPUP_VAR in request.GET:
            return {}
        return bulk_actions.offered(self, request)

    # --- form --------------------------------------------------------------------------------------------------

    def writable(self, seen: EntityView, record: Any = None) -> list[str]:
        """Fields the form may change."""
        return list(seen.editable)

    def grouped(self, names: Iterable[str]) -> list[tuple[str, list[str]]]:
        """`names` in the groups of this admin, those of no group last."""
        left = list(names)
        found = []
        for title, wanted in self.groups:
            inside = [name for name in wanted if name in left]
            left = [name for name in left if name not in inside]
            if inside:
                found.append((title, inside))
        if left:
            found.append((record_pages.LEFT_OVER if found else "Details", left))
        return found

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        seen = self.view_of(request)
        may_change = self.has_change_permission(request, obj) if obj else True
        written = set(self.writable(seen, obj)) if may_change else set()
        names = [name for name in seen.fields if name not in SYSTEM_FIELDS]
        if obj is None:
            names = [name for name in names if name in written]
        fieldsets: list[Any] = [
            (title, {"fields": inside})
            for title, inside in self.grouped(name for name in names if name in written)
        ]
        if fieldsets:
            # The first group needs no heading: the page has one.
            fieldsets[0] = (None, fieldsets[0][1])
        shown = [Shown(seen.fields[name]) for name in names if name not in written]
        if shown:
            fieldsets.append(
                ("Set by the system", {"fields": shown, "classes": ("collapse",) if written else ()})
            )
        return fieldsets

    def get_inlines(self, request: HttpRequest, obj: Any) -> Sequence[Any]:
        may_write = (
            self.has_add_permission(request) if obj is None else self.has_change_permission(request, obj)
        )
        return self.lines if may_write else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        seen = self.view_of(request)
        return [Shown(field) for field in seen.fields.values()]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[EntityForm]:
        seen = self.view_of(request)
        refusal: DomainError | None = getattr(request, "refusal", None)
        note = ""
        if isinstance(refusal, Stale) and obj is not None:
            note = last_change_by_others(seen, obj.pk)
        return form_class(seen, self.writable(seen, obj), refusal=refusal, note=note, special=self.controls)

    # --- pages beyond Django's ---------------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        meta = self.model._meta

        def named(route: str, page: Any, name: str) -> Any:
            return path(
                route, self.admin_site.admin_view(page), name=f"{meta.app_label}_{meta.model_name}_{name}"
            )

        return [
            named("<uuid:record_id>/", self.record_view, "record"),
            *(
                named(
                    f"<uuid:record_id>/{action.path}/", partial(action_page, self, action=action), action.name
                )
                for action in actions_of(self.entity.name)
            ),
            *self.extra_urls(named),
            *super().get_urls(),
        ]

    def extra_urls(self, named: Any) -> list[Any]:
        """Further pages: `named(route, view, name)`."""
        return []

    def record_view(self, request: HttpRequest, record_id: UUID) -> HttpResponse:
        """The record with everything around it."""
        if not self.has_view_permission(request):
            raise Http404
        record = self.get_record(request, str(record_id))
        context = {
            **self.admin_site.each_context(request),
            **record_pages.context_of(self, request, record),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "backoffice/record.html", context)

    def record_actions(self, request: HttpRequest, record: Any) -> list[record_pages.ActionLink]:
        """The declared actions that this record offers now to this person, the first one most visibly."""
        seen = self.view_of(request)
        offered = [
            action
            for action in actions_of(self.entity.name)
            if can_perform(seen, action) and seen.allows(record, action.verb) and action.is_offered(record)
        ]
        return [
            record_pages.ActionLink(
                action.label,
                self.action_url(action.name, record),
                self.guides.get(action.name, Guide()).icon,
                is_main=place == 0,
            )
            for place, action in enumerate(offered)
        ]

    def action_url(self, name: str, record: Any) -> str:
        meta = self.model._meta
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_{name}", args=[record.pk])

    def timeline(self, request: HttpRequest, record: Any) -> list[record_pages.Event]:
        """What happened around the record, newest first."""
        return record_pages.changes_as_events(self.history_of(request, record))

    def next_steps(self, request: HttpRequest, record: Any) -> list[record_pages.Step]:
        """What is to be done next about the record."""
        return []

    def history_of(self, request: HttpRequest, record: Any) -> list[Any]:
        return read_history(self.view_of(request), self.logged_id(record))

    def logged_id(self, record: Any) -> UUID:
        """The id under which the change log knows the record."""
        return record.pk

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise Http404
        record = self.get_record(request, object_id)
        name = name_of(self.view_of(request), record)
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {name}",
            "opts": self.opts,
            "original": record,
            "object": record,
            "record_url": self.record_url(record.pk),
            "entries": self.history_of(request, record),
            **(extra_context or {}),
        }
        return TemplateResponse(request, self.object_history_template, context)
