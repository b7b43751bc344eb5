"""What the log can be filtered by."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django_filters import FilterSet

from audit.models import AuditAlert, AuditReview
from audit.sensitivity import sensitive
from core.changes.models import ChangeContext
from core.rest.filters import BooleanFilter, TextFilter, TimeFilter, UUIDFilter

# Transactions that a query names one by one.
MOST_CONTEXTS = 2_000


def to_be_reviewed() -> Q:
    """Whether the entry itself, or a policy that it met, demands a review."""
    demanded = AuditAlert.objects.filter(log_id=OuterRef("pk"), requires_review=True)
    return Q(requires_review=True) | Q(Exists(demanded))


def reviewed() -> Exists:
    """Whether somebody looked at the entry."""
    return Exists(AuditReview.objects.filter(log_id=OuterRef("pk")))


class _Flag(BooleanFilter):
    """True or false by a condition."""

    def __init__(self, condition: Callable[[], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.condition = condition

    def filter(self, qs: Any, value: str) -> Any:
        if not value:
            return qs
        return qs.filter(self.condition()) if value == "true" else qs.exclude(self.condition())


class _Address(TextFilter):
    def filter(self, qs: Any, value: str) -> Any:
        if not value:
            return qs
        try:
            address = str(ipaddress.ip_address(value.strip()))
        except ValueError:
            return qs.none()
        return qs.filter(context__ip=address)


class _User(UUIDFilter):
    """Who did it. Where one did little in the time that is asked for, PostgreSQL is told in which transactions: of a
    company with millions of entries it would read the newest ones until it has found some."""

    def filter(self, qs: Any, value: Any) -> Any:
        if not value:
            return qs
        contexts = ChangeContext.objects.filter(actor_id=value)
        asked = self.parent.form.cleaned_data
        # Entries carry the time of their transaction, as contexts do.
        for name, lookup in (("at__gte", "at__gte"), ("at__lt", "at__lt")):
            if asked.get(name):
                contexts = contexts.filter(**{lookup: asked[name]})
        ids = list(contexts.order_by("pk").values_list("pk", flat=True)[: MOST_CONTEXTS + 1])
        if len(ids) > MOST_CONTEXTS:
            return qs.filter(context__actor_id=value)
        return qs.filter(context_id__in=ids)


class _Contained(TextFilter):
    def filter(self, qs: Any, value: str) -> Any:
        return qs.filter(changed_fields__contains=[value]) if value else qs


class _Text(TextFilter):
    def filter(self, qs: Any, value: str) -> Any:
        if not value:
            return qs
        return qs.filter(
            Q(entity_name__icontains=value)
            | Q(description__icontains=value)
            | Q(action__icontains=value)
            | Q(entity_type__icontains=value)
        )


class AuditLogFilters(FilterSet):
    entity_type = TextFilter(label="The kind of record, such as deal.")
    entity_id = UUIDFilter(label="One record.")
    user = _User("context__actor_id", label="Who did it.")
    impersonator = UUIDFilter("context__impersonator_id", label="Who acted as somebody else.")
    api_client = UUIDFilter("context__api_key_id", label="The API key that was used.")
    session_id = UUIDFilter("context__session_id", label="The session it was done in.")
    action = TextFilter(label="create, update, delete, restore, login, export and so on.")
    field = _Contained("changed_fields", label="Changes of this field.")
    source = TextFilter("context__source", label="api, admin, import, task, shell and so on.")
    ip = _Address("context__ip", label="The address it came from.")
    correlation_id = TextFilter("context__correlation_id", label="Everything one request did.")
    at__gte = TimeFilter("at", "gte", label="At this time or later.")
    at__lt = TimeFilter("at", "lt", label="Before this time.")
    text = _Text("description", label="Looks into descriptions, logged names, actions and kinds.")
    is_sensitive = _Flag(sensitive, label="Personal data, and what was recorded as sensitive.")
    requires_review = _Flag(to_be_reviewed, label="Whether somebody has to look at it.")
    is_reviewed = _Flag(reviewed, label="Whether somebody has looked at it.")
