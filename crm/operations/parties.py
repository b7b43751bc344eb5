"""Writes of accounts and contacts."""

from __future__ import annotations

from core.changes import Rule
from core.changes.rules import no_cycle
from crm.models import Account, Contact
from crm.operations.records import CURRENCY, RecordOperations, record_spec

ACCOUNTS = RecordOperations(
    record_spec(
        Account,
        derive={"currency": CURRENCY},
        rules=(
            no_cycle("crm_account", "parent_id", "parent", "An account cannot be above itself."),
            Rule(
                "not_of_account",
                "primary_contact",
                "The contact does not belong to this account.",
                "n.primary_contact_id IS DISTINCT FROM o.primary_contact_id AND EXISTS ("
                "SELECT FROM crm_contact x WHERE x.company_id = %(company)s::uuid "
                "AND x.id = n.primary_contact_id AND x.account_id IS DISTINCT FROM n.id)",
            ),
        ),
    ),
    upward="parent_id",
)
_CONTACT_RULES = (
    no_cycle("crm_contact", "reports_to_id", "reports_to", "A contact cannot report to themselves."),
)
# An account that its primary contact leaves has none.
_LEFT = """
UPDATE crm_account x SET primary_contact_id = NULL,
  version = x.version + 1, updated_at = %(now)s::timestamptz, updated_by_id = %(user)s::uuid
FROM written w WHERE w.new_account_id IS DISTINCT FROM w.old_account_id
  AND x.company_id = %(company)s::uuid AND x.id = w.old_account_id AND x.primary_contact_id = w.new_id
"""
CONTACTS = RecordOperations(record_spec(Contact, rules=_CONTACT_RULES), upward="reports_to_id")
_CHANGES = RecordOperations(
    record_spec(Contact, rules=_CONTACT_RULES, also={"left_accounts": _LEFT}), upward="reports_to_id"
)

create_accounts, update_accounts = ACCOUNTS.create, ACCOUNTS.update
delete_accounts, restore_accounts, judge_accounts = ACCOUNTS.delete, ACCOUNTS.restore, ACCOUNTS.judge
create_contacts, update_contacts = CONTACTS.create, _CHANGES.update
delete_contacts, restore_contacts, judge_contacts = CONTACTS.delete, CONTACTS.restore, CONTACTS.judge
