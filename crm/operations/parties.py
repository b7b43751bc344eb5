"""Writes of accounts and contacts."""

from __future__ import annotations

from crm.models import Account, Contact
from crm.operations.records import CURRENCY, RecordOperations, no_cycle, record_spec

ACCOUNTS = RecordOperations(
    record_spec(
        Account,
        derive={"currency": CURRENCY},
        rules=(no_cycle("crm_account", "parent_id", "parent", "An account cannot be above itself."),),
    ),
    upward="parent_id",
)
CONTACTS = RecordOperations(
    record_spec(
        Contact,
        rules=(
            no_cycle("crm_contact", "reports_to_id", "reports_to", "A contact cannot report to themselves."),
        ),
    ),
    upward="reports_to_id",
)

create_accounts, update_accounts = ACCOUNTS.create, ACCOUNTS.update
delete_accounts, restore_accounts = ACCOUNTS.delete, ACCOUNTS.restore
create_contacts, update_contacts = CONTACTS.create, CONTACTS.update
delete_contacts, restore_contacts = CONTACTS.delete, CONTACTS.restore
