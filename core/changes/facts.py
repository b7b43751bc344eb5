"""Facts that are no row's change (sign-ins, exports, refused access), written to the change log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from core.changes.rows import to_json
from core.changes.waking import wake_stream
from core.kernel.transactions import needs_transaction
from core.tenancy import context
from core.tenancy.postgresql.base import database

_SQL = """
SELECT app_record_fact(%(company)s::uuid, %(action)s::text, %(entity_type)s::text, %(entity_id)s::uuid,
  %(entity_name)s::text, %(details)s::jsonb, %(description)s::text, %(is_sensitive)s::boolean)"""


def record_fact(
    *,
    action: str,
    entity_type: str,
    entity_id: UUID | None = None,
    entity_name: str | None = None,
    details: Mapping[str, Any] | None = None,
    description: str = "",
    is_sensitive: bool = False,
    company_id: UUID | None = None,
) -> int:
    """Add a fact to the change log of the company in context; answers its log id. Needs a transaction.

    Work across companies names the company, or leaves it out where none is known (a failed sign-in of nobody).
    """
    needs_transaction()
    facts = {
        "company": company_id or context.current().company_id,
        "action": action,
        "entity_type": entity_type,
        "entity_id": entity_id,
        "entity_name": entity_name,
        "details": None if details is None else to_json(details),
        "description": description,
        "is_sensitive": is_sensitive,
    }
    wake_stream()
    [(log_id,)] = database().fetch_prepared(_SQL, facts)
    return int(log_id)
