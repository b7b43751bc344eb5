"""What a list request asks for, read and checked as a whole: filters, order, search, shape, page or cursor."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core import signing
from django.core.exceptions import EmptyResultSet
from django.db.models import Q, QuerySet
from django.http import QueryDict

from core.access import EntityView, MaskedField, UnknownField
from core.access.output import Document, Output
from core.conditions.params import parse_params
from core.entities import Field
from core.entities.computed import with_computed
from core.kernel.errors import MASKED, DomainError, Fault, Invalid, NotFound, refused_input
from core.rest.declarations import SHAPE_PARAMETERS
from core.rest.keyset import after, order
from core.rest.plain_lists import PlainKey, counting, plain_counting, plain_rows, plain_rows_behind
from core.tenancy.postgresql.base import database

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
# A count beyond this is an estimate unless asked for: counting a million rows costs more than showing a page.
EXACT_COUNT_LIMIT = 10_000
# Deeper pages read everything before them; the cursor does not.
MAX_OFFSET = 100_000
MAX_ORDERING = 5
MAX_SEARCH_LENGTH = 200

# Several names each, separated by commas or given again and again.
_SEVERAL = SHAPE_PARAMETERS | {"ordering"}
_IN_FILTER = re.compile(r"filter\[(.+)\]")
RESERVED = SHAPE_PARAMETERS | {"page", "page_size", "cursor", "count", "ordering", "search"}

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class ListQuery:
    """A list request, complete and valid."""

    view: EntityView
    output: Output
    filters: Q
    # (field, descending), ending with the id.
    ordering: tuple[tuple[Field, bool], ...]
    search: str
    page: int
    page_size: int
    cursor: Cursor | None
    exact_count: bool

    @property
    def is_plain(self) -> bool:
        """Whether this asks for all records of the company: no condition, no search, every record open to the actor, and an
        order by fields that every company has."""
        return (
            not self.filters
            and not self.search
            and self.view.actor.rights.record_scope == "all"
            and not any(field.custom_key for field, _ in self.ordering)
        )

    def plain_key(self) -> PlainKey:
        """What the query of a plain list depends on."""
        ordering = tuple((field.name, descending) for field, descending in self.ordering)
        return self.view.entity.name, self.view.actor.company_id, settings.TENANCY_LOCKS, ordering

    def queryset(self, records: QuerySet[Any] | None = None) -> QuerySet[Any]:
        """The records asked for, in order, without paging."""
        found = self.unordered(records)
        if self.search:
            return self.view.search(found, self.search)
        return found.order_by(*(order(field, descending) for field, descending in self.ordering))

    def unordered(self, records: QuerySet[Any] | None = None) -> QuerySet[Any]:
        """The records that the conditions let through."""
        found = self.view.records() if records is None else records
        return with_computed(found.filter(self.filters), (field for field, _ in self.ordering))


@dataclass(frozen=True)
class Cursor:
    """A place between two rows of an ordered list: the sort values of the row beside it. Empty at the start."""

    values: tuple[str | None, ...] = ()
    backwards: bool = False


def read_pairs(parameters: QueryDict) -> Pairs:
    """The query parameters in order, in one way of writing: generated clients repeat a list instead of separating it by
    commas, and write filters as members of an object, `filter[status]=new`."""
    pairs: Pairs = []
    for given, values in parameters.lists():
        inside = _IN_FILTER.fullmatch(given)
        name = inside[1] if inside else given
        if name in _SEVERAL and not inside:
            pairs.append((name, ",".join(values)))
        else:
            pairs += [(name, value) for value in values]
    return pairs


def read_shape(pairs: Pairs, view: EntityView) -> Output:
    """`fields` and `expand` of a request.

    Raises: Invalid, Forbidden.
    """
    given = dict(pairs)
    fields = given["fields"].split(",") if "fields" in given else None
    expand = given["expand"].split(",") if "expand" in given else ()
    return view.output(fields, expand)


def read_list_query(pairs: Pairs, view: EntityView, now: datetime) -> ListQuery:
    """Raises: Invalid with every fault of every parameter; Forbidden likewise, when one asks for a masked field."""
    faults: list[Fault] = []
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in RESERVED:
            if name in given:
                faults.append(Fault(name, "repeated", "Give this parameter once."))
            given[name] = value

    def attempt(work: Any) -> Any:
        try:
            return work()
        except DomainError as refusal:
            faults.extend(refusal.faults or [Fault("", refusal.code, refusal.detail)])
            return None

    condition = attempt(lambda: parse_params(pairs, view, RESERVED, zone=ZoneInfo(view.actor.zone)))
    output = attempt(lambda: read_shape(pairs, view))
    ordering = attempt(lambda: _read_ordering(given.get("ordering", view.default_ordering), view))
    page_size = attempt(lambda: _whole(given, "page_size", DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE))
    page = attempt(lambda: _whole(given, "page", 1, None))
    if page and page_size and page * page_size > MAX_OFFSET and page > 1:
        faults.append(Fault("page", "too_deep", f"Beyond {MAX_OFFSET} records walk with cursor= instead."))
    if given.get("count", "exact") != "exact":
        faults.append(Fault("count", "not_a_choice", "count takes 'exact'."))
    search = given.get("search", "")
    if len(search) > MAX_SEARCH_LENGTH:
        faults.append(
            Fault("search", "too_long", f"At most {MAX_SEARCH_LENGTH} characters are searched for.")
        )
    cursor = None
    if "cursor" in given:
        if "page" in given or "search" in given:
            faults.append(Fault("cursor", "not_together", "cursor does not go with page or search."))
        elif ordering:
            cursor = attempt(lambda: _read_cursor(given["cursor"], view, ordering))
    if faults:
        raise refused_input(faults=faults)
    filters = condition.to_q(now=now) if condition is not None else Q()
    return ListQuery(view, output, filters, ordering, search, page, page_size, cursor, "count" in given)


def _whole(given: dict[str, str], name: str, default: int, most: int | None) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise Invalid(faults=[Fault(name, "not_an_integer", "A whole number from 1 is expected.")])
    if most is not None and int(text) > most:
        raise Invalid(faults=[Fault(name, "too_large", f"At most {most} is allowed.")])
    return int(text)


def _read_ordering(text: str, view: EntityView) -> tuple[tuple[Field, bool], ...]:
    names = text.split(",")
    chosen: list[tuple[Field, bool]] = []
    faults = []
    for name in names[: MAX_ORDERING + 1]:
        field = None
        try:
            field = view.field(name.removeprefix("-"))
        except MaskedField:
            detail = f"{name[:100]!r} is masked for you and cannot be ordered by."
            faults.append(Fault("ordering", MASKED, detail))
            continue
        except UnknownField:
            pass
        if field is None or not field.sortable:
            faults.append(Fault("ordering", "unknown_ordering", f"{name[:100]!r} cannot be ordered by."))
        else:
            chosen.append((field, name.startswith("-")))
    if len(names) > MAX_ORDERING:
        faults.append(Fault("ordering", "too_many", f"At most {MAX_ORDERING} fields order a list."))
    if faults:
        raise refused_input(faults=faults)
    if not any(field.name == "id" for field, _ in chosen):
        # Ties are broken in the direction of the list, so that one index serves both columns.
        chosen.append((view.field("id"), bool(chosen) and chosen[0][1]))
    return tuple(chosen)


# --- cursors -------------------------------------------------------------------------------------------------------


def _signer(view: EntityView, ordering: tuple[tuple[Field, bool], ...]) -> signing.Signer:
    """Whose cursors belong to one order of one company's list."""
    names = ",".join(f"{'-' if descending else ''}{field.name}" for field, descending in ordering)
    return _salted(f"cursor:{view.actor.company_id}:{view.entity.name}:{names}")


@lru_cache(maxsize=1024)
def _salted(salt: str) -> signing.Signer:
    # Told from the signature by what needs no quoting in a URL.
    return signing.Signer(salt=salt, sep="~")


def _read_cursor(text: str, view: EntityView, ordering: tuple[tuple[Field, bool], ...]) -> Cursor:
    if not text:
        return Cursor()
    bad = Invalid(faults=[Fault("cursor", "bad_cursor", "This cursor was not given out for this list.")])
    try:
        backwards, *values = _signer(view, ordering).unsign_object(text)
    except (signing.BadSignature, ValueError):
        raise bad from None
    if len(values) != len(ordering):
        raise bad
    return Cursor(tuple(values), bool(backwards))


def _write_cursor(query: ListQuery, values: Iterable[Any], backwards: bool) -> str:
    texts = [value if value is None else str(value) for value in values]
    return _signer(query.view, query.ordering).sign_object([int(backwards), *texts])


# --- pages ---------------------------------------------------------------------------------------------------------


# A page as a document.
Page = dict[str, Any]


def render_page(query: ListQuery, base_url: str, pairs: Pairs, records: QuerySet[Any] | None = None) -> Page:
    """The page's documents and its links. A constant number of statements, whatever the size.

    Raises: NotFound for a page behind the last.
    """
    if query.cursor is not None:
        return _cursor_page(query, query.cursor, base_url, pairs, records)
    start = (query.page - 1) * query.page_size
    stop = start + query.page_size + 1
    if records is None and query.is_plain:
        queryset = None
        rows = query.output.documents_of(plain_rows(*query.plain_key(), start, stop))
    else:
        queryset = query.queryset(records)
        rows = query.output.documents(queryset[start:stop])
    has_next = len(rows) > query.page_size
    rows = rows[: query.page_size]
    if not rows and query.page > 1:
        raise NotFound("There is no such page.", code="no_such_page")
    if not has_next:
        count, exact = start + len(rows), True
    elif query.exact_count:
        count, exact = (query.queryset(records) if queryset is None else queryset).order_by().count(), True
    elif queryset is None:
        count, exact = _counted(*plain_counting(*query.plain_key()))
    else:
        count, exact = count_of(queryset)

    def link(page: int) -> str:
        return _link(base_url, pairs, "page", str(page))

    head = {
        "count": count,
        "count_is_exact": exact,
        "next": link(query.page + 1) if has_next else None,
        "previous": link(query.page - 1) if query.page > 1 else None,
    }
    return _page(head, rows)


def count_of(queryset: QuerySet[Any]) -> tuple[int, bool]:
    """How many there are, and whether that is exact: up to the limit it is, beyond it the planner's estimate."""
    try:
        return _counted(*counting(queryset))
    except EmptyResultSet:
        return 0, True


def _counted(sql: str, params: tuple[Any, ...]) -> tuple[int, bool]:
    limit = EXACT_COUNT_LIMIT + 1
    [(counted,)] = _fetch(f"SELECT count(*) FROM ({sql} LIMIT {limit}) counted", params)
    if counted <= EXACT_COUNT_LIMIT:
        return counted, True
    [(plan,)] = _fetch(f"EXPLAIN (FORMAT JSON) {sql}", params, prepare=False)
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return max(int(plan[0]["Plan"]["Plan Rows"]), limit), False


def _fetch(sql: str, params: tuple[Any, ...], *, prepare: bool = True) -> list[tuple[Any, ...]]:
    return database().fetch_prepared(sql, params, prepare=prepare)


def _cursor_page(
    query: ListQuery, cursor: Cursor, base_url: str, pairs: Pairs, records: QuerySet[Any] | None
) -> Page:
    names = tuple(field.name for field, _ in query.ordering)
    compiled = None
    if records is None and query.is_plain:
        if cursor.values:
            compiled = plain_rows_behind(
                query.plain_key(), query.ordering, cursor.values, cursor.backwards, query.page_size + 1
            )
        else:
            compiled = plain_rows(*query.plain_key(), 0, query.page_size + 1)
    if compiled is not None:
        rows = query.output.documents_of(compiled, names)
    else:
        found = query.unordered(records)
        if cursor.values:
            found = found.filter(after(query.ordering, cursor.values, cursor.backwards))
        found = found.order_by(
            *(order(field, descending != cursor.backwards) for field, descending in query.ordering)
        )
        rows = query.output.documents(found[: query.page_size + 1], names)
    more = len(rows) > query.page_size
    rows = rows[: query.page_size]
    if cursor.backwards:
        rows.reverse()
    has_next = bool(rows) and (more or cursor.backwards)
    has_previous = bool(rows) and (more if cursor.backwards else bool(cursor.values))

    def link(row: tuple[Any, ...], backwards: bool) -> str:
        return _link(base_url, pairs, "cursor", _write_cursor(query, row[1:], backwards))

    head = {
        "next": link(rows[-1], False) if has_next else None,
        "previous": link(rows[0], True) if has_previous else None,
    }
    return _page(head, rows)


def _link(base_url: str, pairs: Pairs, name: str, value: str) -> str:
    """The same request with another `value`, which needs no quoting."""
    kept = tuple(pair for pair in pairs if pair[0] != name)
    return f"{base_url}?{_encoded(kept)}{'&' if kept else ''}{name}={value}"


@lru_cache(maxsize=1024)
def _encoded(pairs: tuple[tuple[str, str], ...]) -> str:
    """What a client asks for again and again, page by page."""
    return urlencode(pairs)


def _page(head: dict[str, Any], rows: list[Document]) -> Page:
    return {**head, "results": [row[0] for row in rows]}
