"""What the database itself enforces about companies, made anew from the models after every migration.

For each company's table: composite keys `(company_id, id)`, foreign keys `(company_id, x_id)`, forced row-level security
with two policies (the company in context; the platform role). Sessions, throttles and registrations are the platform
role's alone. Idempotent: what is in place already is left alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from django.apps import apps
from django.db import connections, models
from django.db.backends.utils import CursorWrapper

from core.tenancy.fields import PersonField, TenantForeignKey
from core.tenancy.models import CompanyIsolatedModel
from core.tenancy.postgresql.base import APP_ROLE, PLATFORM_ROLE

# Operators that search and filters need under row-level security. PostgreSQL uses an index below a policy only for
# functions that cannot leak their arguments through errors; these raise no error that shows a row's value.
LEAKPROOF_FUNCTIONS = (
    "ts_match_vq(tsvector, tsquery)",
    "textlike(text, text)",
    "texticlike(text, text)",
    "jsonb_contains(jsonb, jsonb)",
    "arraycontains(anyarray, anyarray)",
    "lower(text)",
    "numeric_eq(numeric, numeric)",
    "numeric_lt(numeric, numeric)",
    "numeric_le(numeric, numeric)",
    "numeric_gt(numeric, numeric)",
    "numeric_ge(numeric, numeric)",
)

ROLES = f"""
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP_ROLE}') THEN
    CREATE ROLE {APP_ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{PLATFORM_ROLE}') THEN
    CREATE ROLE {PLATFORM_ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS;
    GRANT {APP_ROLE} TO {PLATFORM_ROLE};
  END IF;
  -- A login that is no superuser may only assume roles that were granted to it.
  IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    EXECUTE format('GRANT {APP_ROLE}, {PLATFORM_ROLE} TO %I WITH INHERIT FALSE, SET TRUE', current_user);
  END IF;
  -- Those that serve take them on as a login of their own, which has no other rights.
  IF EXISTS (
    SELECT FROM pg_roles WHERE rolname = '{{LOGIN}}' AND rolname <> current_user AND NOT rolsuper
      AND NOT (pg_has_role(oid, '{APP_ROLE}', 'MEMBER') AND pg_has_role(oid, '{PLATFORM_ROLE}', 'MEMBER'))
  ) THEN
    GRANT {APP_ROLE}, {PLATFORM_ROLE} TO "{{LOGIN}}" WITH INHERIT FALSE, SET TRUE;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; -- another database of this cluster was quicker
END $$;
"""

FUNCTIONS = """
CREATE OR REPLACE FUNCTION app_company() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('app.company_id', true), '')::uuid $$;
"""


# Tables beside the companies' own that no statement inside a company may read, with what the application role sees of them
# elsewhere. Django reads its sessions before any company is known.
PLATFORM_TABLES = {
    "core_authsession": "false",
    "core_loginthrottle": "false",
    "core_registration": "false",
    "django_session": "(SELECT app_company()) IS NULL",
}


def company_models() -> Iterator[type[models.Model]]:
    """Every concrete, managed model whose rows belong to a company."""
    for model in apps.get_models(include_auto_created=True):
        if issubclass(model, CompanyIsolatedModel) and not model._meta.proxy and model._meta.managed:
            yield model


def _name(*parts: str) -> str:
    """A constraint name within PostgreSQL's 63 bytes."""
    name = "_".join(parts)
    if len(name) <= 60:
        return name
    return name[:51] + "_" + hashlib.sha256(name.encode()).hexdigest()[:8]


def prepare(cursor: CursorWrapper) -> None:
    """What must exist before the first table: roles and the function that policies ask."""
    login = connections[cursor.db.alias].settings_dict["USER"]
    if not re.fullmatch(r"[\w.-]+", login):
        raise ValueError("the name of the database's login has letters, digits, points and hyphens only")
    cursor.execute(ROLES.replace("{LOGIN}", login))
    cursor.execute(FUNCTIONS)


def secure(cursor: CursorWrapper) -> None:
    """Bring the database's own protection up to the models. Expects the owner's rights."""
    prepare(cursor)
    tables = [model._meta.db_table for model in company_models()]
    for table in tables:
        _ensure_unique(cursor, table, ("company_id", "id"))
    for model in company_models():
        _ensure_policies(cursor, model._meta.db_table, "company_id = (SELECT app_company())")
        for field in model._meta.concrete_fields:
            _ensure_reference(cursor, model, field)
    _ensure_policies(cursor, "core_company", "id = (SELECT app_company())")
    _ensure_policies(
        cursor,
        "core_user",
        "id IN (SELECT m.user_id FROM core_membership m WHERE m.company_id = (SELECT app_company()))",
    )
    for table, condition in PLATFORM_TABLES.items():
        _ensure_policies(cursor, table, condition)
    _grant(cursor)
    _mark_leakproof(cursor)


def _constraints(cursor: CursorWrapper, table: str) -> set[str]:
    cursor.execute("SELECT conname FROM pg_constraint WHERE conrelid = to_regclass(%s)", [table])
    return {name for (name,) in cursor.fetchall()}


def _ensure_unique(cursor: CursorWrapper, table: str, columns: tuple[str, ...]) -> None:
    name = _name(table, *columns, "key")
    if name not in _constraints(cursor, table):
        cursor.execute(f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" UNIQUE ({", ".join(columns)})')


def _ensure_reference(cursor: CursorWrapper, model: type[models.Model], field: models.Field) -> None:
    if isinstance(field, PersonField):
        target, columns = "core_membership", "company_id, user_id"
    elif isinstance(field, TenantForeignKey):
        target, columns = field.related_model._meta.db_table, "company_id, id"
    else:
        return
    table = model._meta.db_table
    name = _name(table, field.column, "company_fk")
    if name not in _constraints(cursor, table):
        cursor.execute(
            f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" FOREIGN KEY (company_id, "{field.column}") '
            f'REFERENCES "{target}" ({columns}) DEFERRABLE INITIALLY DEFERRED'
        )


def _ensure_policies(cursor: CursorWrapper, table: str, condition: str) -> None:
    cursor.execute(
        "SELECT c.relrowsecurity AND c.relforcerowsecurity, array_agg(p.polname::text) "
        "FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid WHERE c.oid = to_regclass(%s) GROUP BY 1",
        [table],
    )
    forced, policies = cursor.fetchone()
    if forced and {"company", "platform"} <= set(policies):
        return
    cursor.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
    for policy in ("company", "platform"):
        cursor.execute(f'DROP POLICY IF EXISTS {policy} ON "{table}"')
    cursor.execute(f'CREATE POLICY company ON "{table}" TO {APP_ROLE} USING ({condition})')
    cursor.execute(f'CREATE POLICY platform ON "{table}" TO {PLATFORM_ROLE} USING (true) WITH CHECK (true)')


def _grant(cursor: CursorWrapper) -> None:
    cursor.execute(f"""
        GRANT USAGE ON SCHEMA public TO {APP_ROLE};
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {APP_ROLE};
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {APP_ROLE};
        REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {APP_ROLE};
    """)
    for model in company_models():
        table, columns = model._meta.db_table, ", ".join(f'"{name}"' for name in updatable_columns(model))
        cursor.execute(f'REVOKE UPDATE ON "{table}" FROM {APP_ROLE}')
        cursor.execute(f'GRANT UPDATE ({columns}) ON "{table}" TO {APP_ROLE}')


def updatable_columns(model: type[models.Model]) -> list[str]:
    """The columns of a company's table that the application may change.

    A row stays in its company. One of the change log also keeps its id, by which the log pairs what was and what is, and
    its origin.
    """
    fixed = {"company_id"}
    if model.logged:  # type: ignore[attr-defined]
        fixed |= {"id", "created_at", "created_by_id"}
    return [
        str(column.column)
        for column in model._meta.concrete_fields
        if column.column not in fixed and not isinstance(column, models.GeneratedField)
    ]


def _mark_leakproof(cursor: CursorWrapper) -> None:
    """Only a superuser may; elsewhere searches under the read policy filter after the company's rows instead."""
    statements = "".join(
        f"EXECUTE 'ALTER FUNCTION pg_catalog.{name} LEAKPROOF';" for name in LEAKPROOF_FUNCTIONS
    )
    cursor.execute(f"DO $$ BEGIN {statements} EXCEPTION WHEN insufficient_privilege THEN NULL; END $$")
