"""What the CRM plugs into the floors below."""

from __future__ import annotations

from collections.abc import Callable

from django.db.models import Aggregate, Count, Q, Sum

from core.identity.operations.companies import COMPANY_STARTERS
from crm.models.choices import LeadStatus
from crm.operations.defaults import seed_company_defaults
from territories.registries import Span, TerritoryMetric, register_metric

COMPANY_STARTERS.register("crm", seed_company_defaults)

_OPEN = Q(status="open")


def _amount(expression: str, where: Callable[[Span], Q]) -> Callable[[Span], Aggregate]:
    return lambda span: Sum(expression, filter=Q(currency=span.currency) & where(span))


def _won_in(span: Span) -> Q:
    return Q(status="won", closed_at__gte=span.start, closed_at__lt=span.end)


for _metric in (
    TerritoryMetric(
        "open_deals",
        "Open deals",
        "Deals that are open now.",
        "deal",
        lambda span: Count("pk", filter=_OPEN),
        ("status",),
    ),
    TerritoryMetric(
        "pipeline_amount",
        "Pipeline",
        "Amounts of open deals in the company's currency.",
        "deal",
        _amount("amount", lambda span: _OPEN),
        ("status", "amount", "currency"),
        is_money=True,
    ),
    TerritoryMetric(
        "weighted_amount",
        "Weighted pipeline",
        "Amounts of open deals times their probability, in the company's currency.",
        "deal",
        _amount("expected_amount", lambda span: _OPEN),
        ("status", "amount", "currency", "probability"),
        is_money=True,
    ),
    TerritoryMetric(
        "won_deals",
        "Won deals",
        "Deals won in the period.",
        "deal",
        lambda span: Count("pk", filter=_won_in(span)),
        ("status", "closed_at"),
    ),
    TerritoryMetric(
        "won_amount",
        "Won",
        "Amounts of deals won in the period, in the company's currency.",
        "deal",
        _amount("amount", _won_in),
        ("status", "closed_at", "amount", "currency"),
        is_money=True,
    ),
    TerritoryMetric("accounts", "Accounts", "Accounts there are.", "account", lambda span: Count("pk")),
    TerritoryMetric("contacts", "Contacts", "Contacts there are.", "contact", lambda span: Count("pk")),
    TerritoryMetric(
        "leads",
        "Leads",
        "Leads created in the period.",
        "lead",
        lambda span: Count("pk", filter=Q(created_at__gte=span.start, created_at__lt=span.end)),
        ("created_at",),
    ),
    TerritoryMetric(
        "converted_leads",
        "Converted leads",
        "Of the leads created in the period, those that have been converted.",
        "lead",
        lambda span: Count(
            "pk",
            filter=Q(created_at__gte=span.start, created_at__lt=span.end, status=LeadStatus.CONVERTED),
        ),
        ("created_at", "status"),
    ),
):
    register_metric(_metric)
