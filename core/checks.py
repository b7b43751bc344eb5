"""System checks: what is declared fits what is there. Those tagged `database` also read PostgreSQL's own catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Critical, Error, Tags, register
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction

from core.changes.ddl import trigger_sql
from core.entities import BASE_FACTS, Entity, entities
from core.identity.rights import PERMISSION_WORDS
from core.tenancy import guard
from core.tenancy.context import system_context
from core.tenancy.postgresql.base import APP_ROLE
from core.tenancy.postgresql.login import faults_of_login


@register()
def columns_are_declared(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage] | list[CheckMessage]:
    """Every column of an entity's model is a declared field or said to be internal, and nothing else is."""
    return [message for entity in entities for message in _undeclared(entity)]


def _undeclared(entity: Entity) -> Iterator[CheckMessage]:
    columns = {column.name for column in entity.model._meta.concrete_fields} - {"company"}
    declared = {fact.name for fact in (*BASE_FACTS, *entity.facts) if not fact.sql}
    for name in sorted(columns - declared - entity.internal):
        yield Error(f"{entity.name}.{name} is neither declared nor internal", id="core.E001")
    for name in sorted((declared | entity.internal) - columns):
        yield Error(f"{entity.name}.{name} is declared and is no column", id="core.E002")
    for name in sorted(declared & entity.internal):
        yield Error(f"{entity.name}.{name} is declared and internal at once", id="core.E003")
    named = [fact.name for fact in entity.facts]
    for name in sorted({name for name in named if named.count(name) > 1}):
        yield Error(f"{entity.name}.{name} is declared twice", id="core.E004")
    for name in entity.title:
        if name not in entity.fields:
            yield Error(f"{entity.name}: there is no field {name!r} for its title", id="core.E005")
    for word in (entity.guarded_by, entity.read_guarded_by):
        if word and word not in PERMISSION_WORDS:
            yield Error(f"{entity.name} is guarded by {word!r}, no permission word", id="core.E006")


@register(Tags.database)
def company_tables_are_locked(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Every company table has forced row-level security, its policies, its keys and its triggers."""
    messages: list[CheckMessage] = []
    for alias in databases or ():
        with connections[alias].cursor() as cursor:
            cursor.execute(
                "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity, "
                "(SELECT array_agg(p.polname::text) FROM pg_policy p WHERE p.polrelid = c.oid), "
                "(SELECT array_agg(t.tgname::text) FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) "
                "FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace"
            )
            found = {
                name: (forced, set(policies or ()), set(triggers or ()))
                for name, forced, policies, triggers in cursor
            }
        for model in guard.company_models():
            table = model._meta.db_table
            forced, policies, triggers = found.get(table, (False, set(), set()))
            if not forced or not {"company", "platform"} <= policies:
                messages.append(Error(f"{table} has no row-level security; run migrate", id="core.E010"))
            logged = model.logged  # type: ignore[attr-defined]
            if logged and trigger_sql(model) and not {"log_insert", "log_update", "log_delete"} <= triggers:
                messages.append(Error(f"{table} has no change-log triggers; run migrate", id="core.E011"))
    return messages


@register(Tags.database)
def contexts_are_signed(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """The database knows the key with which this process signs contexts: else the change log would not say who."""
    for alias in databases or ():
        with (
            system_context("system checks"),
            transaction.atomic(using=alias),
            connections[alias].cursor() as cursor,
        ):
            cursor.execute("SELECT app_context_is_genuine()")
            if not cursor.fetchone()[0]:
                return [Error("SECRET_KEY is new to the database; run migrate", id="core.E013")]
    return []


@register(Tags.database)
def application_role_is_bound(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Neither the role that requests run as nor the login below it can bypass anything."""
    messages: list[CheckMessage] = []
    for alias in databases or ():
        with connections[alias].cursor() as cursor:
            cursor.execute(
                "SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
            )
            name, unbound = cursor.fetchone()
            faults = (
                [f"the database role {name} can bypass row-level security; use {APP_ROLE}"] if unbound else []
            )
            if login := faults_of_login(cursor):
                faults.append(login)
        messages += [Critical(fault, id="core.E012") for fault in faults]
    return messages


@register(deploy=True)
def login_is_bound(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """`check --deploy` looks at the login without being told which databases there are."""
    try:
        return application_role_is_bound(app_configs, databases=[DEFAULT_DB_ALIAS]) if not databases else []
    except DatabaseError as failure:
        return [Error(f"the database's login cannot be looked at: {failure}", id="core.E014")]
