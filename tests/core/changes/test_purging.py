"""Emptying the recycle bin: what is due goes, what is needed stays, and the log says which."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from core.changes import purging
from core.changes.models import ChangeLog
from core.identity.models import Company
from core.kernel.transactions import unit_of_work
from core.tenancy.context import company_context
from crm.models import Account, Contact
from tests.core.jobs.conftest import make_company

pytestmark = pytest.mark.django_db(transaction=True)

NOW = timezone.now()
OLD, RECENT = NOW - timedelta(days=31), NOW - timedelta(days=29)


@pytest.fixture
def company() -> Company:
    return make_company("acme")


def purge(company: Company, **options) -> dict[str, int]:
    return purging.purge_deleted(company.id, deleted_before=NOW - purging.KEPT_IN_BIN, **options)


def add(company: Company, model, **values):
    with company_context(company.id), unit_of_work():
        return model.objects.create(company_id=company.id, **values)


def names(company: Company) -> set[str]:
    with company_context(company.id), unit_of_work():
        return set(Account.objects.values_list("name", flat=True))


def test_takes_what_was_deleted_long_ago_and_nothing_else(company):
    add(company, Account, name="old", deleted_at=OLD)
    add(company, Account, name="recent", deleted_at=RECENT)
    add(company, Account, name="alive")
    assert purge(company) == {"account": 1}
    assert names(company) == {"recent", "alive"}
    assert purge(company) == {}


def test_leaves_other_companies_alone(company):
    other = make_company("globex")
    add(other, Account, name="theirs", deleted_at=OLD)
    assert purge(company) == {}
    assert names(other) == {"theirs"}


def test_walks_through_many_in_batches(company):
    with company_context(company.id), unit_of_work():
        Account.objects.bulk_create(
            Account(company_id=company.id, name=f"a{number}", deleted_at=OLD) for number in range(25)
        )
    assert purge(company, batch=10) == {"account": 25}


def test_empties_optional_references_to_what_goes(company):
    gone = add(company, Account, name="old", deleted_at=OLD)
    contact = add(company, Contact, last_name="Kept", account_id=gone.id)
    assert purge(company) == {"account": 1}
    with company_context(company.id), unit_of_work():
        assert Contact.objects.get(id=contact.id).account_id is None


def test_keeps_what_a_restricting_reference_still_needs(company, monkeypatch):
    """As if contacts could not do without their account."""
    monkeypatch.setattr(Contact._meta.get_field("account").remote_field, "on_delete", object())
    needed = add(company, Account, name="needed", deleted_at=OLD)
    add(company, Account, name="free", deleted_at=OLD)
    contact = add(company, Contact, last_name="Alive", account_id=needed.id)
    assert purge(company) == {"account": 1}
    assert names(company) == {"needed"}
    with company_context(company.id), unit_of_work():
        Contact.objects.filter(id=contact.id).update(deleted_at=OLD)
    assert purge(company) == {"account": 1, "contact": 1}


def test_takes_the_rest_of_a_batch_when_the_database_refuses_one(company, monkeypatch):
    """A reference that only the database knows of holds its record, not the others of the batch."""
    needed = add(company, Account, name="needed", deleted_at=OLD)
    for number in range(3):
        add(company, Account, name=f"free {number}", deleted_at=OLD)
    add(company, Contact, last_name="Alive", account_id=needed.id)
    monkeypatch.setattr(purging, "_keys_to", lambda model: [])
    assert purge(company) == {"account": 3}
    assert names(company) == {"needed"}


def test_logs_each_record_that_goes(company):
    gone: UUID = add(company, Account, name="old", deleted_at=OLD).id
    purge(company)
    with company_context(company.id), unit_of_work():
        entry = ChangeLog.objects.get(entity_id=gone, action="purge")
        assert entry.old_values["name"] == "old"
        assert entry.context.source == "task"
