"""How values are shown to people: columns of lists, facts of a record, entries of the history."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from babel.numbers import format_currency, format_decimal
from django.db.models import QuerySet
from django.db.models.query import ModelIterable
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from core.access import EntityView, view
from core.access.field_access import FieldAccess
from core.entities import Entity, Field, entities
from core.entities.kinds import Kind
from core.tenancy.actors import Actor

NOTHING = "—"
LONG_TEXT_SHOWN = 120
_GOOD = frozenset({"won", "converted", "completed", "held", "active", "qualified", "customer"})
_BAD = frozenset({"lost", "unqualified", "canceled", "inactive", "failed", "former_customer"})
_WARN = frozenset({"on_hold", "deferred", "waiting", "urgent", "high", "hot", "nurturing", "competitor"})

_locale: ContextVar[str] = ContextVar("backoffice_locale", default="en_US")


@contextmanager
def shown_for(locale: str, zone: str) -> Iterator[None]:
    """Numbers and times inside are written as the company writes them."""
    try:
        known = str(Locale.parse(locale, sep="-"))
    except (ValueError, UnknownLocaleError):
        known = "en_US"
    token = _locale.set(known)
    try:
        with timezone.override(ZoneInfo(zone)):
            yield
    finally:
        _locale.reset(token)


# --- values --------------------------------------------------------------------------------------------------------


def show_number(value: Any) -> str:
    return str(format_decimal(value, locale=_locale.get()))


def show_money(value: Any, currency: str = "") -> str:
    if not currency:
        return str(format_decimal(value, format="#,##0.00", locale=_locale.get()))
    whole = Decimal(value) == Decimal(value).to_integral_value()
    pattern = "¤#,##0" if whole else None
    return str(format_currency(value, currency, pattern, locale=_locale.get(), currency_digits=not whole))


def show_date(value: date) -> str:
    return str(format_date(value, "medium", locale=_locale.get()))


def show_moment(value: datetime) -> str:
    local = timezone.localtime(value)
    text = f"{show_date(local.date())}, {format_time(local, 'HH:mm', locale=_locale.get())}"
    return format_html('<time datetime="{}">{}</time>', local.isoformat(), text)


def country_name(code: str) -> str:
    """The country's name in the company's language; the code where it has none."""
    return str(Locale.parse(_locale.get()).territories.get(code, code))


def badge(value: str, label: str) -> str:
    tone = "good" if value in _GOOD else "bad" if value in _BAD else "warn" if value in _WARN else "plain"
    return format_html('<span class="bo-badge bo-badge-{}">{}</span>', tone, label)


def show(field: Field, value: Any, *, currency: str = "", brief: bool = False) -> str:
    """One value as HTML. Relations are shown by `show_relation`."""
    if value is None or value == "" or value == [] or value == {}:
        return NOTHING
    match field.kind:
        case Kind.BOOLEAN:
            return "Yes" if value else "No"
        case Kind.CHOICE:
            return badge(str(value), dict(field.choices).get(str(value), str(value)))
        case Kind.MONEY:
            return show_money(value, currency)
        case Kind.INTEGER | Kind.DECIMAL:
            return show_number(value)
        case Kind.DATE:
            return format_html('<span class="bo-day">{}</span>', show_date(value))
        case Kind.DATETIME:
            return show_moment(value)
        case Kind.TAGS:
            return format_html_join(" ", '<span class="bo-chip">{}</span>', ((item,) for item in value))
        case Kind.JSON:
            return format_html("<code>{}</code>", json.dumps(value, ensure_ascii=False, indent=None))
        case Kind.COUNTRY:
            return country_name(str(value))
        case Kind.EMAIL:
            # A long address breaks where one reads a pause.
            shown = format_html_join(
                format_html("<wbr>{}", "@"), "{}", ((part,) for part in value.split("@"))
            )
            return format_html('<a href="mailto:{}">{}</a>', value, shown)
        case Kind.PHONE:
            return format_html('<a href="tel:{}">{}</a>', "".join(str(value).split()), value)
        case Kind.URL:
            target = value if str(value).lower().startswith(("http://", "https://")) else f"https://{value}"
            place = str(value).partition("://")[2].rstrip("/") or str(value)
            return format_html('<a href="{}" rel="noopener noreferrer nofollow">{}</a>', target, place)
        case _:
            text = str(value)
            if brief and len(text) > LONG_TEXT_SHOWN:
                return text[:LONG_TEXT_SHOWN].rstrip() + "…"
            return text


def read_logged(field: Field, value: Any) -> Any:
    """A value of the change log, which is JSON, as the column's own type; what does not fit stays as it is."""
    try:
        match field.kind:
            case Kind.DATE:
                return date.fromisoformat(value)
            case Kind.DATETIME:
                return datetime.fromisoformat(value)
            case Kind.MONEY | Kind.DECIMAL:
                return Decimal(str(value))
    except (TypeError, ValueError, ArithmeticError):
        return value
    return value


# --- records -------------------------------------------------------------------------------------------------------


def record_url(entity: Entity, record_id: UUID | str) -> str:
    """Where a record is shown; empty when the back office does not show its kind."""
    meta = entity.model._meta
    try:
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_record", args=[record_id])
    except NoReverseMatch:
        return ""


def list_url(entity: Entity) -> str:
    meta = entity.model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")


def title_fields(seen: EntityView) -> list[Field]:
    """The fields that name a record, as far as the actor sees them."""
    return [seen.fields[name] for name in seen.entity.title if name in seen.fields]


def name_of(seen: EntityView, record: Any) -> str:
    parts = [value_of(record, field) for field in title_fields(seen)]
    named = " · ".join(
        part.strftime("%Y-%m-%d %H:%M") if isinstance(part, datetime) else str(part)
        for part in parts
        if part not in (None, "")
    )
    return named or f"{seen.entity.label} {str(record.pk)[-8:]}"


def names_of(actor: Actor, entity: Entity, ids: Iterable[UUID]) -> dict[UUID, str]:
    """Names of the records the actor sees among `ids`. One statement."""
    wanted = {item for item in ids if item is not None}
    seen = view(entity, actor)
    if not wanted or not seen.can("read"):
        return {}
    return {record.pk: name_of(seen, record) for record in slim(seen.records().filter(pk__in=wanted), seen)}


def slim(records: QuerySet[Any], seen: EntityView) -> QuerySet[Any]:
    """The records as pages show them: what is hidden from the person is blank and what is masked is masked, on the records
    themselves; without the search vector, which is never shown and costs a decompression per row."""
    columns = {column.name for column in seen.entity.model._meta.concrete_fields}
    if "search_vector" in columns:
        records = records.defer("search_vector")
    if seen.access.conceals:
        records = records.all()
        records._iterable_class = _concealing(seen.entity.name, seen.access)
    return records


@lru_cache(maxsize=256)
def _concealing(entity_name: str, access: FieldAccess) -> type[ModelIterable]:
    """Loads records without what the access hides."""
    entity = entities[entity_name]
    concealed = [
        (column.attname, column.name, "" if column.empty_strings_allowed and not column.null else None)
        for column in entity.model._meta.concrete_fields
        if column.name in access.modes and (column.name not in access.fields or column.name in access.masks)
    ]

    class Concealing(ModelIterable):
        def __iter__(self) -> Iterator[Any]:
            for record in super().__iter__():
                for attribute, name, blank in concealed:
                    if attribute not in record.__dict__:
                        continue
                    is_masked = name in access.masks
                    value = access.show(name, record.__dict__[attribute]) if is_masked else blank
                    record.__dict__[attribute] = value
                    if is_masked:
                        record.__dict__[access.fields[name].attribute] = value
                yield record

    return Concealing


def value_of(record: Any, field: Field) -> Any:
    if field.sql:
        return getattr(record, field.attribute, None)
    return getattr(record, record._meta.get_field(field.name).attname)


def attach_names(seen: EntityView, records: Sequence[Any], fields: Iterable[Field]) -> None:
    """Give the records the names of what they point to: one statement for each kind of target."""
    asked: dict[str, set[UUID]] = defaultdict(set)
    relations = [field for field in fields if field.is_relation]
    for field in relations:
        asked[field.to] |= {value_of(record, field) for record in records}
    names = {target: names_of(seen.actor, entities[target], ids) for target, ids in asked.items()}
    for record in records:
        record.related_names = {
            **getattr(record, "related_names", {}),
            **{field.name: names[field.to].get(value_of(record, field)) for field in relations},
        }


def show_relation(target: Entity, record_id: Any, name: str | None) -> str:
    if record_id is None:
        return NOTHING
    if name is None:
        # It exists, and this person may not see it.
        return format_html('<span class="bo-subtle">{}</span>', "not visible to you")
    url = record_url(target, record_id)
    return format_html('<a href="{}">{}</a>', url, name) if url else name


class Shown:
    """One field of a record as a column of a list or a read-only line of a form."""

    # A template hands it on; only Python calls it, with a record.
    do_not_call_in_templates = True

    def __init__(self, field: Field, *, brief: bool = False) -> None:
        self.field = field
        self.brief = brief
        self.__name__ = field.name
        self.short_description = field.label
        self.admin_order_field = field.attribute if field.sortable else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shown) and other.__name__ == self.__name__

    def __hash__(self) -> int:
        return hash(self.__name__)

    def __call__(self, record: Any) -> str:
        value = value_of(record, self.field)
        if self.field.is_relation:
            names: Mapping[str, str | None] = getattr(record, "related_names", {})
            if self.brief and names.get(self.field.name):
                return str(names[self.field.name])
            return show_relation(entities[self.field.to], value, names.get(self.field.name))
        return show(self.field, value, currency=getattr(record, "currency", "") or "", brief=self.brief)
