"""Lists that are no entities: jobs, staged rows, runs, executions, request logs, notifications, deliveries.

They keep the contract of every list (pages, cursor, count, ordering, refusals), and filter by a django-filter `FilterSet`.
Entities keep the condition language. A list is one class::

    class JobFilters(FilterSet):
        state = ChoiceFilter(choices=STATES, label="Where the job stands.")
        created_at__gte = TimeFilter("created_at", "gte", label="Asked for at this time or later.")

    class JobsView(FilteredListView):
        \"\"\"Long work of the company, the newest first.\"\"\"

        filterset_class = JobFilters
        orderings = {"created_at": "created_at"}
        default_ordering = "-created_at"
        document = JobDocument

        def rows(self) -> QuerySet[Job]:
            return jobs_seen_by(self.actor)

        def documents(self, rows: Sequence[Job]) -> list[JobDocument]:
            return [as_document(job) for job in rows]

`path("jobs/", JobsView.as_view())` serves it. The OpenAPI document lists its filters by itself. An unknown, repeated or
empty parameter is refused and the refusal names what there is. It takes two statements (page and count) beside those of
`rows` and `documents`, which must not ask for each row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.core import signing
from django.db.models import Model, Q, QuerySet
from django.utils import timezone
from django_filters import FilterSet
from pydantic import BaseModel, ConfigDict, create_model
from rest_framework.request import Request
from rest_framework.response import Response

from core.kernel.errors import Fault, Invalid, NotFound
from core.rest.declarations import Operation
from core.rest.filters import faults_of, parameters_of
from core.rest.listing import DEFAULT_PAGE_SIZE, MAX_OFFSET, MAX_ORDERING, MAX_PAGE_SIZE, count_of
from core.rest.views import MEMBER, ApiView

PAGING = ("page", "page_size", "cursor", "count", "ordering")

# Field of the model, descending.
Ordering = tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class FilteredPage:
    """One page of rows. `count` is None in a walk by cursor; `next` and `previous` are query strings."""

    rows: list[Any]
    count: int | None
    count_is_exact: bool
    next: str | None
    previous: str | None


@dataclass(frozen=True)
class FilteredList:
    """What can be asked of a list, apart from its rows."""

    filterset: type[FilterSet]
    # What one may order by -> the field of the model. None of them may be null: a cursor stands between two values.
    orderings: Mapping[str, str]
    default_ordering: str

    def page(
        self, given: Mapping[str, str], rows: QuerySet[Any], *, scope: str, zone: str = "UTC"
    ) -> FilteredPage:
        """The rows that `given` (parameters, each once) asks for. Two statements.

        `scope` names whose list of what this is, so that a cursor of another one is refused. Times without an offset are
        read in `zone`. Raises: Invalid with every fault, NotFound for a page behind the last.
        """
        faults: list[Fault] = []
        known = {*self.filterset.base_filters, *PAGING}
        for name, value in given.items():
            if name not in known:
                faults.append(
                    Fault(name, "unknown_parameter", f"There is no such parameter. {_choices(known)}")
                )
            elif not value and name != "cursor":
                faults.append(Fault(name, "empty_value", "A value is expected."))
        filters = {name: value for name, value in given.items() if value and name not in PAGING}
        with timezone.override(ZoneInfo(zone)):
            filterset = self.filterset(filters, queryset=rows)
            faults += faults_of(filterset)
        ordering = self._ordering(given.get("ordering") or self.default_ordering, rows, faults)
        page = _whole(given, "page", 1, faults)
        size = _whole(given, "page_size", DEFAULT_PAGE_SIZE, faults, most=MAX_PAGE_SIZE)
        if page > 1 and page * size > MAX_OFFSET:
            faults.append(Fault("page", "too_deep", f"Beyond {MAX_OFFSET} rows walk with cursor= instead."))
        if given.get("count") not in (None, "", "exact"):
            faults.append(Fault("count", "not_a_choice", "count takes 'exact'."))
        if "cursor" in given and "page" in given:
            faults.append(Fault("cursor", "not_together", "cursor does not go with page."))
        place: tuple[bool, list[Any]] | None = None
        if given.get("cursor") and not faults:
            place = _read_cursor(given["cursor"], scope, ordering, rows.model)
            if place is None:
                detail = "This cursor was not given out for this list."
                faults.append(Fault("cursor", "bad_cursor", detail))
        if faults:
            raise Invalid(faults=faults)
        asked = _Asked(given, filterset.qs, ordering, size, scope)
        return asked.behind(place) if "cursor" in given else asked.numbered(page)

    def _ordering(self, text: str, rows: QuerySet[Any], faults: list[Fault]) -> Ordering:
        names = text.split(",")
        chosen = []
        for name in names[:MAX_ORDERING]:
            field = self.orderings.get(name.removeprefix("-"))
            if field is None:
                detail = f"{name[:100]!r} cannot be ordered by. {_choices(self.orderings)}"
                faults.append(Fault("ordering", "unknown_ordering", detail))
            else:
                chosen.append((field, name.startswith("-")))
        if len(names) > MAX_ORDERING:
            faults.append(Fault("ordering", "too_many", f"At most {MAX_ORDERING} fields order a list."))
        # Ties are broken in the direction of the list, so that one index serves both columns.
        return (*chosen, (rows.model._meta.pk.name, bool(chosen) and chosen[0][1]))


@dataclass(frozen=True)
class _Asked:
    given: Mapping[str, str]
    rows: QuerySet[Any]
    ordering: Ordering
    size: int
    scope: str

    def numbered(self, page: int) -> FilteredPage:
        start = (page - 1) * self.size
        ordered = self.rows.order_by(*_order(self.ordering))
        found = list(ordered[start : start + self.size + 1])
        if not found and page > 1:
            raise NotFound("There is no such page.", code="no_such_page")
        has_next = len(found) > self.size
        found = found[: self.size]
        count, is_exact = start + len(found), True
        if has_next and "count" in self.given:
            count = self.rows.order_by().count()
        elif has_next:
            count, is_exact = count_of(ordered)
        following = self._link("page", str(page + 1)) if has_next else None
        previous = self._link("page", str(page - 1)) if page > 1 else None
        return FilteredPage(found, count, is_exact, following, previous)

    def behind(self, place: tuple[bool, list[Any]] | None) -> FilteredPage:
        backwards, values = place or (False, [])
        found = self.rows.order_by(*_order(self.ordering, backwards))
        if values:
            found = found.filter(_behind(self.ordering, values, backwards))
        rows = list(found[: self.size + 1])
        more = len(rows) > self.size
        rows = rows[: self.size]
        if backwards:
            rows.reverse()
        has_next = bool(rows) and (more or backwards)
        has_previous = bool(rows) and (more if backwards else bool(values))
        following = self._link("cursor", self._cursor(rows[-1], False)) if has_next else None
        previous = self._link("cursor", self._cursor(rows[0], True)) if has_previous else None
        return FilteredPage(rows, None, False, following, previous)

    def _cursor(self, row: Any, backwards: bool) -> str:
        values = [getattr(row, field) for field, _ in self.ordering]
        texts = [value.isoformat() if isinstance(value, datetime) else str(value) for value in values]
        return _signer(self.scope, self.ordering).sign_object([int(backwards), *texts])

    def _link(self, name: str, value: str) -> str:
        return urlencode([*((key, text) for key, text in self.given.items() if key != name), (name, value)])


def _choices(names: Any) -> str:
    return f"There are: {', '.join(sorted(names))}."


def _whole(
    given: Mapping[str, str], name: str, default: int, faults: list[Fault], most: int | None = None
) -> int:
    text = given.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        faults.append(Fault(name, "not_an_integer", "A whole number from 1 is expected."))
        return default
    if most is not None and int(text) > most:
        faults.append(Fault(name, "too_large", f"At most {most} is allowed."))
        return default
    return int(text)


def _order(ordering: Ordering, backwards: bool = False) -> list[str]:
    return [f"-{field}" if descending != backwards else field for field, descending in ordering]


def _behind(ordering: Ordering, values: list[Any], backwards: bool) -> Q:
    further, equal = Q(pk__in=[]), Q()
    for (field, descending), value in zip(ordering, values, strict=True):
        further |= equal & Q(**{f"{field}__{'lt' if descending != backwards else 'gt'}": value})
        equal &= Q(**{field: value})
    first, descending = ordering[0]
    # Implied by the rest; stated apart, an index can start there.
    return Q(**{f"{first}__{'lte' if descending != backwards else 'gte'}": values[0]}) & further


def _signer(scope: str, ordering: Ordering) -> signing.Signer:
    names = ",".join(f"{'-' if descending else ''}{field}" for field, descending in ordering)
    return signing.Signer(salt=f"cursor:{scope}:{names}", sep="~")


def _read_cursor(
    text: str, scope: str, ordering: Ordering, model: type[Model]
) -> tuple[bool, list[Any]] | None:
    """Backwards, and the values beside the place; None for a text that is no cursor of this list."""
    try:
        backwards, *texts = _signer(scope, ordering).unsign_object(text)
    except (signing.BadSignature, ValueError):
        return None
    fields = [model._meta.get_field(field) for field, _ in ordering]
    return bool(backwards), [
        field.to_python(value)  # type: ignore[union-attr]
        for field, value in zip(fields, texts, strict=True)
    ]


class _Page(BaseModel):
    """One page of a list."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=lambda schema: schema.update(required=["next", "previous", "results"]),
    )

    count: int | None = None
    count_is_exact: bool | None = None
    next: str | None
    previous: str | None


class FilteredListView(ApiView):
    """Base of a list that is no entity; see the module for what a subclass says."""

    verbs: ClassVar[Mapping[str, str]] = {"get": MEMBER}
    filterset_class: ClassVar[type[FilterSet]]
    # What one may order by -> the field of the model, which is never null.
    orderings: ClassVar[Mapping[str, str]]
    default_ordering: ClassVar[str]
    # The shape of one row.
    document: ClassVar[type[BaseModel]]

    def rows(self) -> QuerySet[Any]:
        """Every row that the actor sees, in no order. Raises: NotFound where the path names nothing of theirs."""
        raise NotImplementedError

    def documents(self, rows: Sequence[Any]) -> Sequence[BaseModel]:
        """The rows as they are answered, with a constant number of statements."""
        raise NotImplementedError

    @classmethod
    def declared(cls, name: str) -> Operation | None:
        view: Any = cls
        return _declared(view) if name == "get" else super().declared(name)

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        asked = FilteredList(self.filterset_class, self.orderings, self.default_ordering)
        found = asked.page(
            request.query_params.dict(),
            self.rows(),
            scope=f"{self.actor.company_id}:{request.path}",
            zone=self.actor.zone,
        )
        base = request.build_absolute_uri(request.path)
        head: dict[str, Any] = {
            "next": None if found.next is None else f"{base}?{found.next}",
            "previous": None if found.previous is None else f"{base}?{found.previous}",
        }
        if found.count is not None:
            head = {"count": found.count, "count_is_exact": found.count_is_exact, **head}
        results = [row.model_dump(mode="json") for row in self.documents(found.rows)]
        return Response({**head, "results": results})


@lru_cache(maxsize=1024)
def _page_of(document: type[BaseModel]) -> type[BaseModel]:
    return create_model(f"{document.__name__}Page", __base__=_Page, results=(list[document], ...))  # type: ignore[valid-type]


@lru_cache(maxsize=1024)
def _declared(view: type[FilteredListView]) -> Operation:
    names = sorted(view.orderings)
    ordering = {
        "type": "string",
        "default": view.default_ordering,
        "description": f"Fields separated by commas, with - descending: {', '.join(names)}.",
    }
    return Operation(
        response=_page_of(view.document),
        query={**parameters_of(view.filterset_class), "ordering": ordering},
        paged=True,
    )
