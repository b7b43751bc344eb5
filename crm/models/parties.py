"""Accounts and contacts: whom the company does business with."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.db import models

from core.entities.models import Record
from core.tenancy.fields import TenantForeignKey
from crm.models import columns
from crm.models.choices import (
    AccountStatus,
    AccountType,
    Channel,
    LifecycleStage,
    Ownership,
    Rating,
    Source,
)
from territories.models import TerritoryScoped


class Account(TerritoryScoped):
    """An organization: customer, prospect, partner or other."""

    name = models.CharField(max_length=255)
    legal_name = columns.text(255)
    account_number = columns.text(64)
    type = columns.choice(AccountType, AccountType.PROSPECT)
    status = columns.choice(AccountStatus, AccountStatus.ACTIVE)
    industry = columns.text(100)
    rating = columns.choice(Rating)
    website = columns.text(255)
    email = columns.text(254)
    phone = columns.text(64)
    description = columns.long_text()
    parent = TenantForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="children")
    # One of the account's own contacts: the operations of both see to it.
    primary_contact = TenantForeignKey(
        "crm.Contact", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    annual_revenue = columns.money()
    currency = columns.text(3)
    number_of_employees = models.IntegerField(null=True, blank=True)
    ownership = columns.choice(Ownership)
    tax_id = columns.text(64)
    source = columns.choice(Source)
    billing_street = columns.text(255)
    billing_city = columns.text(100)
    billing_state = columns.text(100)
    billing_postal_code = columns.text(32)
    billing_country = columns.text(2)
    shipping_street = columns.text(255)
    shipping_city = columns.text(100)
    shipping_state = columns.text(100)
    shipping_postal_code = columns.text(32)
    shipping_country = columns.text(2)
    last_activity_at = models.DateTimeField(null=True, editable=False)
    name_norm = columns.generated_text(columns.squeezed("name"))
    website_domain = columns.generated_text(columns.domain("website"))
    email_norm = columns.generated_text(columns.lowered("email"), 254)
    phone_norm = columns.generated_text(columns.digits("phone"), 64)
    search_vector = columns.search_vector(
        A=("name", "account_number"),
        B=("legal_name", "website", "email", "phone"),
        C=("billing_city", "industry"),
        D=("description",),
    )

    unlogged_columns = Record.unlogged_columns | {"last_activity_at"}

    class Meta(TerritoryScoped.Meta):
        constraints: ClassVar = [
            *Record.Meta.constraints,
            columns.not_blank("account", "name"),
            *columns.one_of(
                "account",
                type=AccountType,
                status=AccountStatus,
                rating=Rating,
                ownership=Ownership,
                source=Source,
            ),
            *columns.not_negative("account", "annual_revenue", "number_of_employees"),
            models.CheckConstraint(
                name="account_not_its_parent",
                condition=models.Q(parent__isnull=True) | ~models.Q(parent=models.F("id")),
                violation_error_code="cycle",
                violation_error_message="An account cannot be above itself.",
            ),
            models.UniqueConstraint(
                fields=["company", "account_number"],
                name="account_number_unique",
                condition=~models.Q(account_number=""),
            ),
        ]
        indexes: ClassVar = [
            *TerritoryScoped.Meta.indexes,
            # Imports, conversion and duplicates look accounts up by these two.
            models.Index(fields=["company", "name_norm"], name="account_name_norm"),
            models.Index(fields=["company", "website_domain"], name="account_website_domain"),
            models.Index(
                fields=["company", "parent"], name="account_parent", condition=models.Q(parent__isnull=False)
            ),
            models.Index(
                fields=["company", "primary_contact"],
                name="account_primary_contact",
                condition=models.Q(primary_contact__isnull=False),
            ),
            GinIndex(fields=["search_vector", "tags"], name="account_search"),
        ]

    def __str__(self) -> str:
        return self.name


class Contact(TerritoryScoped):
    """A person at an account, or on their own."""

    account = TenantForeignKey(Account, models.SET_NULL, null=True, blank=True, related_name="contacts")
    salutation = columns.text(32)
    first_name = columns.text(100)
    last_name = models.CharField(max_length=100)
    title = columns.text(150)
    department = columns.text(100)
    reports_to = TenantForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="reports")
    email = columns.text(254)
    phone = columns.text(64)
    mobile = columns.text(64)
    lead_source = columns.choice(Source)
    lifecycle_stage = columns.choice(LifecycleStage)
    birth_date = models.DateField(null=True, blank=True)
    preferred_language = columns.text(16)
    preferred_channel = columns.choice(Channel)
    do_not_call = columns.flag()
    email_opt_out = columns.flag()
    mailing_street = columns.text(255)
    mailing_city = columns.text(100)
    mailing_state = columns.text(100)
    mailing_postal_code = columns.text(32)
    mailing_country = columns.text(2)
    description = columns.long_text()
    last_contacted_at = models.DateTimeField(null=True, editable=False)
    full_name = columns.generated_text(columns.joined_name("first_name", "last_name"))
    email_norm = columns.generated_text(columns.lowered("email"), 254)
    phone_norm = columns.generated_text(columns.digits("phone"), 64)
    search_vector = columns.search_vector(
        A=("first_name", "last_name", "email"), B=("phone", "mobile", "title"), D=("description",)
    )

    unlogged_columns = Record.unlogged_columns | {"last_contacted_at"}

    class Meta(TerritoryScoped.Meta):
        constraints: ClassVar = [
            *Record.Meta.constraints,
            columns.not_blank("contact", "last_name"),
            *columns.one_of(
                "contact", lead_source=Source, lifecycle_stage=LifecycleStage, preferred_channel=Channel
            ),
            models.CheckConstraint(
                name="contact_not_own_manager",
                condition=models.Q(reports_to__isnull=True) | ~models.Q(reports_to=models.F("id")),
                violation_error_code="cycle",
                violation_error_message="A contact cannot report to themselves.",
            ),
        ]
        indexes: ClassVar = [
            *TerritoryScoped.Meta.indexes,
            models.Index(
                fields=["company", "account"],
                name="contact_account",
                condition=models.Q(account__isnull=False),
            ),
            models.Index(
                fields=["company", "reports_to"],
                name="contact_reports_to",
                condition=models.Q(reports_to__isnull=False),
            ),
            # Imports and duplicates look people up by these two.
            models.Index(fields=["company", "email_norm"], name="contact_email_norm"),
            models.Index(fields=["company", "phone_norm"], name="contact_phone_norm"),
            GinIndex(fields=["search_vector", "tags"], name="contact_search"),
        ]

    def __str__(self) -> str:
        return self.full_name
