"""Nothing is served, stored or run that the rules do not know: each is declared, or fails here by its name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import current_app
from django.apps import apps
from django.core.management import get_commands
from django.db import connection, transaction
from django.test import override_settings

from core.entities import entities
from core.identity.rights import MANAGE_USERS, PERMISSION_WORDS, is_permission
from core.jobs.registry import job_kinds
from core.rest.schema.views import openapi_document
from core.rest.views import MEMBER, ApiView
from core.rest.viewsets import EntityViewSet
from core.tenancy.actors import VERBS
from core.tenancy.context import system_context
from core.tenancy.fields import PersonField, TenantForeignKey
from core.tenancy.guard import PLATFORM_TABLES
from core.tenancy.models import CompanyIsolatedModel
from tests.conformance.operations import API, Operation, every_operation, lists, operations, served
from tests.conformance.rooms import Rooms
from tests.owning import owning

ROOT = Path(__file__).resolve().parents[2]
OURS = {app.label for app in apps.get_app_configs() if Path(app.path).parent == ROOT}

# Served outside the OpenAPI document.
UNDOCUMENTED = {
    "GET /schema/": "the document itself",
    "GET /docs/": "the page that shows the document",
    "GET /data-import/jobs/{pk}/errors.csv": "the same with a closing slash is documented",
}
# Whose rights their operations ask for, because they depend on what the request is about.
ASKS_BELOW: set[str] = {
    operation.name
    for operation in operations()
    if operation.path.startswith(f"{API}data-import/jobs/")
    and operation.action not in ("list", "retrieve", "partial_update", "get")
}

# Tables whose rows are not one company's, each with the reason.
NOT_OF_A_COMPANY = {
    "core.Company": "is the company; row-level security by its own id",
    "core.User": "a person may be in several companies; row-level security through the memberships",
    "core.Person": "a view of users and memberships, narrowed by its own company column",
    "core.AuthSession": "read before the company is known",
    "core.Registration": "founds a company that is not there yet",
    "core.LoginThrottle": "counts tries of whoever is nobody yet",
    "core.ChangeContext": "not managed by Django; row-level security by its company column",
    "core.ChangeLog": "not managed by Django; row-level security by its company column",
    "audit.AuditLog": "shows core.ChangeLog",
    "core.Consumer": "how far a reader of all companies' changes has come",
    "core.ParkedChange": "a change of any company that a reader could not take",
    "core.Slot": "due times of schedules of the platform",
    "core.Heartbeat": "signs of life of processes",
}

# Uniqueness that does not begin with the company.
UNIQUE_EVERYWHERE = {
    "invitation_token_unique": "looked up before any company is known; random, so it tells nothing",
    "api_key_prefix_unique": "looked up before any company is known; random, so it tells nothing",
}
# References from a company's table to one that is not.
PLAIN_REFERENCES = {
    "company_id": "the company itself",
    "core_membership.user_id": "the person of a membership: what it is there to say",
    "core_apikey.user_id": "the key's owner; the membership is read with every use",
}

COMMANDS = {
    "migrate": "the schema, as the owner of the tables",
    "dbshell": "a shell of the database, for operators",
    "services": "starts and stops the embedded servers",
    "up": "starts everything",
    "build_reference": "documents of the registries; reads no company",
    "build_assets": "style sheets of the back office; reads no company",
    "describe": "prints the registries; reads no company",
    "create_company": "founds one",
    "seed_demo": "founds one full of invented records",
    "audit_verify": "reads the change log of the companies it names, under the platform role",
    "import_data": "enters the company named by --company",
}


def company_models() -> Iterator[Any]:
    for model in apps.get_models(include_auto_created=True):
        if issubclass(model, CompanyIsolatedModel) and model._meta.managed and not model._meta.proxy:
            yield model


def rows(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def declared_verb(operation: Operation) -> str | None:
    view = operation.view()
    vars(view).update(action=operation.action, request=SimpleNamespace(method=operation.method))
    verb: str | None = view.required_verb()
    return verb


class TestOperations:
    def test_are_found_at_all(self) -> None:
        assert len(operations()) > 160

    @every_operation()
    def test_declare_the_right_they_need(self, operation: Operation) -> None:
        verb = declared_verb(operation)
        if operation.is_public or operation.name in ASKS_BELOW:
            return
        assert verb is not None, f"{operation.name} declares no right, so everybody is refused"
        assert verb in (*VERBS, MEMBER, MANAGE_USERS) or is_permission(verb), f"{verb} is no right"

    @every_operation()
    def test_are_in_the_document(self, operation: Operation) -> None:
        if operation.name not in UNDOCUMENTED:
            assert operation.documented is not None

    def test_are_the_only_ones_in_the_document(self) -> None:
        document: Any = openapi_document()
        documented = {
            (method.upper(), re.sub(r"{\w+}", "{}", path))
            for path, item in document["paths"].items()
            for method in item
            if method in ("get", "post", "put", "patch", "delete")
        }
        assert documented <= {(item.method, re.sub(r"{\w+}", "{}", item.path)) for item in operations()}

    def test_are_all_views_of_ours(self) -> None:
        """Below /api/ nothing answers but an ApiView; elsewhere nothing but the back office."""
        strangers = [
            path
            for path, callback in served()
            if not (path.startswith("/admin/") or issubclass(getattr(callback, "cls", object), ApiView))
        ]
        assert strangers == []

    def test_let_only_the_listed_exceptions_go_undocumented(self) -> None:
        undocumented = {operation.name for operation in operations() if operation.documented is None}
        assert undocumented == set(UNDOCUMENTED)

    def test_let_only_the_listed_exceptions_ask_for_rights_below(self) -> None:
        silent = {
            operation.name
            for operation in operations()
            if not operation.is_public and declared_verb(operation) is None
        }
        assert silent == ASKS_BELOW


class TestEntities:
    def test_are_served_each_by_a_viewset(self) -> None:
        shown = {operation.entity.name for operation in lists() if operation.entity}
        assert {entity.name for entity in entities} - shown == set()

    def test_have_viewsets_that_say_no_more_than_which(self) -> None:
        """A viewset that overrides a standard action is a special case to be read with care; these are all."""
        standard = (
            "list",
            "retrieve",
            "update",
            "partial_update",
            "destroy",
            "restore",
            "by_external_id",
            "bulk",
        )
        special = {
            f"{operation.view.__name__}.{name}"
            for operation in operations()
            if operation.entity
            for name in standard
            if getattr(operation.view, name) is not getattr(EntityViewSet, name)
        }
        # Of a territory that holds something it asks where that goes.
        assert special == {"TerritoryViewSet.destroy"}

    def test_have_records_in_both_companies(self, rooms: Rooms) -> None:
        for entity in entities:
            expected = 3 if entity.is_soft_deleted and entity.writes.delete else 1
            assert len(rooms.acme.records[entity.name]) >= expected, entity.name
            assert len(rooms.globex.records[entity.name]) >= expected, entity.name

    def test_are_guarded_by_words_of_permission(self) -> None:
        guards = {entity.guarded_by for entity in entities if entity.guarded_by}
        assert MANAGE_USERS in guards
        assert guards <= set(PERMISSION_WORDS.names())


class TestModels:
    def test_belong_to_a_company_or_say_why_not(self) -> None:
        outside = {
            model._meta.label
            for model in apps.get_models(include_auto_created=True)
            if model._meta.app_label in OURS and not issubclass(model, CompanyIsolatedModel)
        }
        assert outside == set(NOT_OF_A_COMPANY)


class TestTables:
    def test_of_companies_are_under_forced_row_level_security(self, rooms: Rooms) -> None:
        found = {
            name: (enabled and forced, set(policies or ()))
            for name, enabled, forced, policies in rows(
                "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, "
                "(SELECT array_agg(polname::text) FROM pg_policy p WHERE p.polrelid = c.oid) "
                "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id' "
                "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace"
            )
        }
        tables = {model._meta.db_table for model in company_models()} | {
            "core_changelog",
            "core_changecontext",
        }
        open_ones = {
            name for name in tables if not found[name][0] or not {"company", "platform"} <= found[name][1]
        }
        assert open_ones == set()
        # And what has a company but no such model.
        beside = {name for name in set(found) - tables if not found[name][0]}
        assert beside == {"core_parkedchange"}

    def test_compare_policies_with_the_company_in_context_alone(self, rooms: Rooms) -> None:
        for table, condition in rows(
            "SELECT polrelid::regclass::text, pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polname = 'company'"
        ):
            assert "app_company()" in condition or PLATFORM_TABLES.get(table) == condition, table

    def test_of_companies_begin_every_uniqueness_with_the_company(self, rooms: Rooms) -> None:
        loose = set()
        for model in company_models():
            found = rows(
                "SELECT c.relname, pg_get_indexdef(c.oid, 1, true) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
                "WHERE i.indrelid = %s::regclass AND i.indisunique AND NOT i.indisprimary",
                model._meta.db_table,
            )
            loose |= {index for index, first in found if first != "company_id"}
        assert loose == set(UNIQUE_EVERYWHERE)

    def test_of_companies_refer_to_each_other_within_the_company(self, rooms: Rooms) -> None:
        plain = set()
        for model in company_models():
            table = model._meta.db_table
            keys = rows(
                "SELECT array_agg(a.attname::text ORDER BY k.ord), f.confrelid::regclass::text FROM pg_constraint f "
                "CROSS JOIN LATERAL unnest(f.conkey) WITH ORDINALITY k(num, ord) "
                "JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.num "
                "WHERE f.conrelid = %s::regclass AND f.contype = 'f' GROUP BY f.oid, f.confrelid",
                table,
            )
            referring = {columns[-1]: columns for columns, _ in keys}
            for field in model._meta.concrete_fields:
                if not field.is_relation:
                    continue
                columns = referring.get(field.column)
                if isinstance(field, TenantForeignKey | PersonField):
                    assert columns == ["company_id", field.column], f"{table}.{field.column}: {columns}"
                else:
                    plain.add("company_id" if field.column == "company_id" else f"{table}.{field.column}")
        assert plain == set(PLAIN_REFERENCES)

    def test_give_the_application_no_way_to_write_the_log(self, rooms: Rooms) -> None:
        for role in ("crm_app", "crm_platform"):
            for table in ("core_changelog", "core_changecontext"):
                for right in ("INSERT", "UPDATE", "DELETE", "TRUNCATE"):
                    [(held,)] = rows("SELECT has_table_privilege(%s, %s, %s)", role, table, right)
                    assert not held, f"{role} may {right} {table}"
        partitions = [
            name
            for (name,) in rows(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'core_changelog'::regclass"
            )
        ]
        assert partitions
        for name in partitions:
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"):
                [(held,)] = rows("SELECT has_table_privilege('crm_app', %s, %s)", name, right)
                assert not held, f"crm_app may {right} {name}"

    def test_cannot_be_emptied_or_changed_by_the_application(self, rooms: Rooms) -> None:
        held = rows(
            "SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace "
            "AND (has_table_privilege('crm_app', c.oid, 'TRUNCATE') OR has_table_privilege('crm_app', c.oid, 'REFERENCES') "
            "OR has_table_privilege('crm_app', c.oid, 'TRIGGER') OR pg_has_role('crm_app', c.relowner, 'MEMBER'))"
        )
        assert held == []

    def test_are_used_under_roles_that_can_bypass_nothing(self, rooms: Rooms) -> None:
        found = rows(
            "SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolcanlogin FROM pg_roles "
            "WHERE rolname IN ('crm_app', 'crm_platform') ORDER BY 1"
        )
        assert found == [("crm_app", False), ("crm_platform", False)]


class TestBackgroundWork:
    def test_declares_whose_it_is(self) -> None:
        tasks = {
            name: task
            for name, task in current_app.tasks.items()
            if not name.startswith(("celery.", "tests."))
        }
        assert tasks
        for name, task in tasks.items():
            assert getattr(task, "tenancy", None) in ("company", "platform"), name
        for kind in job_kinds:
            assert kind.tenancy in ("company", "platform"), kind.name


class TestCommands:
    def test_are_listed(self) -> None:
        ours = {name for name, app in get_commands().items() if isinstance(app, str) and app in OURS}
        assert ours == set(COMMANDS)


class TestThisVeryInventory:
    """It sees what it is there for."""

    def test_finds_a_table_without_policies(self, rooms: Rooms) -> None:
        with (
            override_settings(TENANCY_LOCKS=frozenset({"scope"})),
            system_context("a fault for a moment"),
            transaction.atomic(),
        ):
            with owning(), connection.cursor() as cursor:
                cursor.execute("ALTER TABLE core_role NO FORCE ROW LEVEL SECURITY")
            with pytest.raises(AssertionError):
                TestTables().test_of_companies_are_under_forced_row_level_security(rooms)
            transaction.set_rollback(True)

    def test_finds_an_operation_without_a_right(self, monkeypatch: pytest.MonkeyPatch) -> None:
        operation = next(item for item in operations() if item.name == "GET /recycle-bin/")
        monkeypatch.setattr(operation.view, "verbs", {})
        with pytest.raises(AssertionError, match="declares no right"):
            TestOperations().test_declare_the_right_they_need(operation)
