"""The login that serves: it may take on the application's two roles and nothing else, so `RESET ROLE` gains nothing."""

from __future__ import annotations

from typing import Any

# What a serving login must not be. Asked about the session's own user: `SET ROLE` hides it, and `RESET ROLE` is free.
_FAULTS = """
SELECT r.rolname::text, array_remove(ARRAY[
  CASE WHEN r.rolsuper THEN 'is a superuser' END,
  CASE WHEN r.rolbypassrls THEN 'passes by row-level security' END,
  CASE WHEN EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    AND pg_has_role(r.oid, c.relowner, 'MEMBER')) THEN 'owns tables, or may become their owner' END,
  CASE WHEN EXISTS (SELECT FROM pg_roles other WHERE other.oid <> r.oid AND pg_has_role(r.oid, other.oid, 'MEMBER')
    AND (other.rolsuper OR other.rolbypassrls OR other.rolname = ANY(ARRAY['pg_execute_server_program',
      'pg_read_server_files', 'pg_write_server_files', 'pg_read_all_data', 'pg_write_all_data'])))
    THEN 'may become a role with such rights' END
], NULL)
FROM pg_roles r WHERE r.rolname = session_user
"""


def faults_of_login(cursor: Any) -> str:
    """What is wrong with the session's login, as a sentence; nothing if it may serve."""
    cursor.execute(_FAULTS)
    name, faults = cursor.fetchone()
    if not faults:
        return ""
    return (
        f"the database login {name} {', '.join(faults)}; serve as a login of its own "
        "(deploy/postgres/bootstrap.sql) and name the owner in MIGRATE_DATABASE_URL"
    )
