"""After every migration the database's own rules are brought up to the models, in one place and in this order."""

from __future__ import annotations

from django.db import connections, transaction
from django.utils import timezone

from core.changes import ddl
from core.tenancy import guard

VIEWS = """
CREATE OR REPLACE VIEW core_person WITH (security_invoker = true) AS
SELECT u.id, m.company_id, m.id AS membership_id, u.email, u.first_name, u.last_name,
  btrim(u.first_name || ' ' || u.last_name) AS full_name,
  m.role_id, boss.user_id AS manager_id, m.is_active AND u.is_active AS is_active, m.last_login,
  m.created_at, m.updated_at, m.created_by_id, m.updated_by_id, m.version,
  (CASE WHEN m.is_active AND u.is_active THEN 'active' ELSE 'inactive' END)::varchar(16) AS state,
  NULL::timestamptz AS invited_until
FROM core_membership m
JOIN core_user u ON u.id = m.user_id
LEFT JOIN core_membership boss ON boss.id = m.manager_id AND boss.company_id = m.company_id
UNION ALL
SELECT i.id, i.company_id, i.id, i.email, i.first_name, i.last_name,
  coalesce(nullif(btrim(i.first_name || ' ' || i.last_name), ''), i.email),
  i.role_id, boss.user_id, false, NULL,
  i.created_at, i.updated_at, i.created_by_id, i.updated_by_id, i.version,
  'invited'::varchar(16), i.expires_at
FROM core_invitation i
LEFT JOIN core_membership boss ON boss.id = i.manager_id AND boss.company_id = i.company_id
WHERE i.state = 'pending';
GRANT SELECT ON core_person TO crm_app;
"""


def bring_up_to_date(using: str) -> None:
    """Roles, keys, policies, change log, triggers and views. Expects the owner's rights; idempotent."""
    connection = connections[using]
    with transaction.atomic(using=using), connection.cursor() as cursor:
        # Two migrations at once (replicas starting together) take turns.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('crm schema'))")
        guard.secure(cursor)
        ddl.create_log(cursor, timezone.now().date())
        ddl.install_triggers(cursor)
        cursor.execute(VIEWS)
