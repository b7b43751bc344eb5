"""The demo company before its first customer: people, roles, products and tags, and what lies on the admin's desk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.changes import Rows
from core.identity import queries
from core.identity.models import Company, Person, Role, User
from core.identity.operations import create_company, create_members, create_roles
from core.kernel.transactions import unit_of_work
from core.tenancy.actors import Actor
from core.tenancy.context import actor_context, system_context
from crm import operations
from crm.demo.territories import add_territories
from crm.demo.words import ADMIN_CUSTOMERS, ADMIN_DEALS, ADMIN_TASKS, PEOPLE, PRODUCTS, TAGS
from crm.models import Account, Contact, Deal, PipelineStage, Product, Tag, Task

# Beside the built-in roles: someone who prepares leads for all the others and sells nothing.
_QUALIFIER = {
    "name": "lead qualifier",
    "permissions": [
        "read",
        *(
            f"{verb}:{entity}"
            for entity in ("lead", "activity", "task", "note")
            for verb in ("create", "update")
        ),
    ],
    "record_scope": "all",
}

_ACCOUNT_FIELDS = ("name", "type", "industry", "domain", "billing_city", "billing_country")
_CONTACT_FIELDS = ("first_name", "last_name", "title", "phone")


@dataclass(frozen=True, slots=True)
class Demo:
    """The company and those who sell for it."""

    company: Company
    sellers: tuple[Actor, ...]


def find_demo(slug: str) -> Demo | None:
    """The demo company of this slug; None when there is no company. A company that is no demo has no sellers."""
    with system_context("looking for the demo company", source="command"), unit_of_work():
        company = Company.objects.filter(slug=slug).first()
        if company is None:
            return None
        emails = [_email(name, slug) for name, *_, role, _manager in PEOPLE if role == "sales"]
        known = dict(User.objects.filter(email__in=emails).values_list("email", "pk"))
    actors = [queries.list_actors_of_user(known[email]).get(slug) for email in emails if email in known]
    return Demo(company, tuple(actor for actor in actors if actor is not None))


def found(slug: str, password: str, now: datetime, until: datetime) -> None:
    """Make the company with its people, who all have the same password. Commits by itself.

    The admin sells now and then, and does not sit down with the sellers: that work is as it stands at `until`, so that
    who signs in as admin finds tasks of their own that are late, of today and to come.
    """
    name, first, last, *_ = PEOPLE[0]
    with system_context("founding the demo company", source="command"), unit_of_work():
        founded = create_company(
            name="Demo" if slug == "demo" else slug.replace("-", " ").capitalize(),
            slug=slug,
            admin_email=_email(name, slug),
            admin_password=password,
            first_name=first,
            last_name=last,
            now=now,
        )
        admin = queries.list_actors_of_user(founded.admin.pk)[slug]
        with actor_context(admin, source="command"):
            _add_people(admin, slug, password, now)
            _add_catalog(admin, now)
            add_territories(admin, now)
            _add_desk(admin, until)


def _add_people(admin: Actor, slug: str, password: str, now: datetime) -> None:
    create_roles(actor=admin, rows=Rows.of(Role, [_QUALIFIER]), now=now).raise_if_refused()
    roles = dict(Role.objects.values_list("name", "pk"))
    ids = {PEOPLE[0][0]: admin.user_id}
    # Managers are there before those who report to them.
    for managers in ({"admin"}, {name for name, *_, role, _manager in PEOPLE if role == "manager"}):
        group = [person for person in PEOPLE if person[4] in managers]
        rows = [
            {
                "email": _email(name, slug),
                "first_name": first,
                "last_name": last,
                "role": roles[role],
                "manager": ids[manager],
            }
            for name, first, last, role, manager in group
        ]
        outcome = create_members(
            actor=admin,
            rows=Rows.of(Person, rows),
            now=now,
            passwords=dict.fromkeys(range(len(rows)), password),
        )
        outcome.raise_if_refused()
        ids |= {person[0]: outcome.ids[place] for place, person in enumerate(group)}


def _add_catalog(admin: Actor, now: datetime) -> None:
    names = ("sku", "name", "family", "product_type", "unit", "unit_price", "cost_price", "billing_period")
    products = [dict(zip(names, product, strict=True)) for product in PRODUCTS]
    operations.create_products(actor=admin, rows=Rows.of(Product, products), now=now).raise_if_refused()
    tags = [{"name": name, "color": color} for name, color in TAGS.items()]
    operations.create_tags(actor=admin, rows=Rows.of(Tag, tags), now=now).raise_if_refused()


def _add_desk(admin: Actor, until: datetime) -> None:
    since, today = until - timedelta(days=9), until.date()
    customers = [
        dict(zip((*_ACCOUNT_FIELDS, *_CONTACT_FIELDS), customer, strict=True)) for customer in ADMIN_CUSTOMERS
    ]
    places = range(len(customers))
    accounts = operations.create_accounts(
        actor=admin,
        rows=Rows.of(
            Account,
            [
                {name: customer[name] for name in _ACCOUNT_FIELDS if name != "domain"}
                | {"website": f"https://{customer['domain']}"}
                for customer in customers
            ],
        ),
        now=since,
    )
    accounts.raise_if_refused()
    contacts = operations.create_contacts(
        actor=admin,
        rows=Rows.of(
            Contact,
            [
                {name: customer[name] for name in _CONTACT_FIELDS}
                | {
                    "account": accounts.ids[place],
                    "email": f"{customer['first_name']}.{customer['last_name']}@{customer['domain']}".lower(),
                }
                for place, customer in enumerate(customers)
            ],
        ),
        now=since,
    )
    contacts.raise_if_refused()
    stages = dict(PipelineStage.objects.filter(pipeline__is_default=True).values_list("code", "pk"))
    deals = operations.create_deals(
        actor=admin,
        rows=Rows.of(
            Deal,
            [
                {
                    "name": f"{customers[place]['name']} - {about}",
                    "account": accounts.ids[place],
                    "primary_contact": contacts.ids[place],
                    "amount": amount,
                    "stage": stages[stage],
                    "close_date": today + timedelta(days=days),
                    "next_step": next_step,
                    "next_step_date": today + timedelta(days=1),
                }
                for place, (about, amount, stage, days, next_step) in zip(places, ADMIN_DEALS, strict=True)
            ],
        ),
        now=since,
    )
    deals.raise_if_refused()
    operations.create_tasks(
        actor=admin,
        rows=Rows.of(
            Task,
            [
                {
                    "subject": subject,
                    "priority": priority,
                    "status": status,
                    "due_date": today + timedelta(days=days),
                    "deal": None if place is None else deals.ids[place],
                    "account": None if place is None else accounts.ids[place],
                }
                for subject, priority, status, days, place in ADMIN_TASKS
            ],
        ),
        now=since,
    ).raise_if_refused()


def _email(name: str, slug: str) -> str:
    return f"{name}@{slug}.example"
