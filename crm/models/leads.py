"""Leads: people or companies that may become customers."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.db import models

from core.entities.models import Record
from core.tenancy.fields import PersonField, TenantForeignKey
from crm.models import columns
from crm.models.catalog import LostReason
from crm.models.choices import LeadStatus, Rating, Source, Timeline
from crm.models.parties import Account, Contact
from territories.models import TerritoryScoped


class Lead(TerritoryScoped):
    """Someone who may buy. `converted` is its end: conversion alone sets it, and editing never undoes it."""

    salutation = columns.text(32)
    first_name = columns.text(100)
    last_name = columns.text(100)
    company_name = columns.text(255)
    title = columns.text(150)
    email = columns.text(254)
    phone = columns.text(64)
    mobile = columns.text(64)
    website = columns.text(255)
    street = columns.text(255)
    city = columns.text(100)
    state = columns.text(100)
    postal_code = columns.text(32)
    country = columns.text(2)
    status = columns.choice(LeadStatus, LeadStatus.NEW)
    status_reason = columns.text(255)
    source = columns.choice(Source)
    source_detail = columns.text(255)
    rating = columns.choice(Rating)
    industry = columns.text(100)
    annual_revenue = columns.money()
    currency = columns.text(3)
    number_of_employees = models.IntegerField(null=True, blank=True)
    estimated_value = columns.money()
    budget_known = columns.flag()
    authority_known = columns.flag()
    need = columns.long_text()
    timeline = columns.choice(Timeline)
    do_not_call = columns.flag()
    email_opt_out = columns.flag()
    description = columns.long_text()
    assigned_at = models.DateTimeField(null=True, editable=False)
    qualified_at = models.DateTimeField(null=True, editable=False)
    disqualified_reason = TenantForeignKey(LostReason, null=True, blank=True, related_name="+")
    last_activity_at = models.DateTimeField(null=True, editable=False)
    converted_at = models.DateTimeField(null=True, editable=False)
    converted_by = PersonField(null=True, editable=False)
    converted_account = TenantForeignKey(
        Account, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    converted_contact = TenantForeignKey(
        Contact, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    converted_deal = TenantForeignKey(
        "crm.Deal", models.SET_NULL, null=True, editable=False, related_name="+"
    )
    full_name = columns.generated_text(columns.joined_name("first_name", "last_name"))
    email_norm = columns.generated_text(columns.lowered("email"), 254)
    phone_norm = columns.generated_text(columns.digits("phone"), 64)
    website_domain = columns.generated_text(columns.domain("website"))
    search_vector = columns.search_vector(
        A=("first_name", "last_name", "company_name", "email"),
        B=("phone", "mobile", "title", "website"),
        C=("city", "industry"),
        D=("description",),
    )

    unlogged_columns = Record.unlogged_columns | {"last_activity_at"}

    class Meta(TerritoryScoped.Meta):
        constraints: ClassVar = [
            *Record.Meta.constraints,
            models.CheckConstraint(
                name="lead_has_a_name",
                condition=~models.Q(last_name="") | ~models.Q(company_name=""),
                violation_error_code="required",
                violation_error_message="A lead needs a last name or a company name.",
            ),
            *columns.one_of("lead", status=LeadStatus, source=Source, rating=Rating, timeline=Timeline),
            *columns.not_negative("lead", "annual_revenue", "number_of_employees", "estimated_value"),
            models.CheckConstraint(
                name="lead_converted_at",
                condition=(models.Q(status="converted") & models.Q(converted_at__isnull=False))
                | (~models.Q(status="converted") & models.Q(converted_at__isnull=True)),
                violation_error_code="converted",
                violation_error_message="Only conversion makes a lead converted, and that is final.",
            ),
        ]
        indexes: ClassVar = [
            *TerritoryScoped.Meta.indexes,
            models.Index(fields=["company", "status"], name="lead_status"),
            # Imports and duplicates look people up by these two.
            models.Index(fields=["company", "email_norm"], name="lead_email_norm"),
            models.Index(fields=["company", "phone_norm"], name="lead_phone_norm"),
            GinIndex(fields=["search_vector", "tags"], name="lead_search"),
        ]

    def __str__(self) -> str:
        return self.full_name or self.company_name
