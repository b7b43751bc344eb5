"""For every operation a call that must succeed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from analytics.reports.operations.runs import ask_for_file
from audit.models import AuditLog, AuditSeal
from audit.operations.seals import log_ids_of
from core.access import view
from core.access.writing import write_one
from core.delivery.models import Notification
from core.delivery.operations import notify
from core.entities import Action, entities
from core.entities.kinds import Kind
from core.files.operations import create_link
from core.files.queries import get_file
from core.identity.models import Invitation, Registration, User
from core.identity.operations.password_reset import make_reset_token
from core.identity.operations.proof import issue_link
from core.identity.operations.sessions import open_session
from core.jobs.running import run_job
from core.kernel.transactions import unit_of_work
from core.rest.schema.fields import example
from core.rest.schema.views import openapi_document
from core.tenancy.context import system_context
from crm import operations as crm
from tests.conformance.operations import Operation
from tests.conformance.rooms import Call
from tests.factories.records import BINNED, MAIN, MAKERS, SPARE, Stock
from tests.worlds import PASSWORD
from workflow.approvals import operations as approvals
from workflow.approvals.models import UNFINISHED
from workflow.models import ApprovalRequest, ApprovalTask, WorkflowRun
from workflow.operations import version_of


class NoControl(AssertionError):
    """Nobody said how an operation is called so that it succeeds."""


def control(operation: Operation, made: Stock) -> Call:
    """A call that succeeds for the admin of the company, on the company's own records.

    Raises: NoControl, naming what `RECIPES` should say.
    """
    recipe = RECIPES.get(operation.name)
    if recipe is not None:
        said = recipe(made)
        path = {**_path(operation, made, required=False), **said.get("path", {})}
        query = tuple(said.get("query", {}).items())
        return Call(operation, path, query, said.get("body"), is_form=said.get("is_form", False))
    call = Call(operation, _path(operation, made))
    if operation.entity is not None and operation.action in _BODIES:
        return replace(call, body=_BODIES[operation.action](operation, made))
    action = getattr(operation.view, "declared_actions", {}).get(operation.action)
    if action is not None:
        return replace(call, body=_required_input(action, made))
    if operation.takes_body:
        return replace(call, body=_documented_body(operation))
    return call


# --- paths ---------------------------------------------------------------------------------------------------------

_PLACES = {"destroy": SPARE, "restore": BINNED}


def _path(operation: Operation, made: Stock, required: bool = True) -> dict[str, str]:
    return {name: _path_value(operation, name, made, required) for name in operation.parameters}


def _path_value(operation: Operation, name: str, made: Stock, required: bool) -> str:
    entity = operation.entity
    if name == "pk" and entity is not None:
        return str(made.record(entity.name, _PLACES.get(operation.action, MAIN)))
    if name in ("source", "external_id"):
        return f"{made.marks.text} new {name}"
    parent = getattr(operation.view, "parent_name", name.removesuffix("_id").removesuffix("_pk"))
    if parent in entities:
        relation = getattr(operation.view, "parent_field", "")
        if relation and entity is not None and "pk" in operation.parameters:
            # The parent of the very record.
            record_id = made.record(entity.name, _PLACES.get(operation.action, MAIN))
            with made.world.acting() as actor:
                return str(getattr(view(entity, actor).get(record_id), f"{relation}_id"))
        return str(made.record(parent))
    if required:
        raise NoControl(f"{operation.name}: say in RECIPES what stands for {{{name}}}")
    return ""


# --- bodies --------------------------------------------------------------------------------------------------------


def new_document(operation: Operation, made: Stock) -> dict[str, Any]:
    entity = operation.entity
    assert entity is not None
    if entity.name not in made.chosen:
        return {}
    document = made.document(entity)
    relation = getattr(operation.view, "parent_field", "")
    if relation in document:
        document[relation] = str(made.record(operation.view.parent_name))  # type: ignore[attr-defined]
    return document


def _patch(operation: Operation, made: Stock) -> dict[str, Any]:
    """A change of one field that asks for no other: the name, another text, or else what a new record would have."""
    entity = operation.entity
    assert entity is not None
    named = entity.by_meaning.get("name")
    texts = [item for item in entity.fields.values() if item.kind in (Kind.TEXT, Kind.LONG_TEXT)]
    for item in [named, *texts]:
        if item is not None and not item.read_only:
            return {item.name: f"{made.marks.text} {made.next()}"}
    document = new_document(operation, made)
    return dict([next(pair for pair in document.items() if not entity.fields[pair[0]].is_relation)])


def _replacement(operation: Operation, made: Stock) -> dict[str, Any]:
    """The record as it is, with one change."""
    entity = operation.entity
    assert entity is not None
    names = [name for name, item in entity.fields.items() if not item.read_only]
    with made.world.acting() as actor:
        seen = view(entity, actor)
        [text] = seen.output(names).texts(seen.records().filter(pk=made.record(entity.name)))
    return {**json.loads(text), **_patch(operation, made)}


def _upsert(operation: Operation, made: Stock) -> dict[str, Any]:
    document = new_document(operation, made)
    return {name: value for name, value in document.items() if not name.startswith("external_")}


def _bulk(operation: Operation, made: Stock) -> dict[str, Any]:
    entity = operation.entity
    assert entity is not None
    rows = [
        {"op": "create", **new_document(operation, made)},
        {"op": "update", "id": str(made.record(entity.name)), **_patch(operation, made)},
        {"op": "delete", "id": str(made.record(entity.name, SPARE))},
    ]
    return {"atomic": True, "operations": rows}


_BODIES: dict[str, Callable[[Operation, Stock], dict[str, Any]]] = {
    "create": new_document,
    "update": _replacement,
    "partial_update": _patch,
    "by_external_id": _upsert,
    "bulk": _bulk,
}


def _required_input(action: Action, made: Stock) -> dict[str, Any]:
    """What a declared action cannot do without: our main records, and examples of other values."""
    return {
        field.name: str(made.record(field.to)) if field.kind is Kind.RELATION else example(field)
        for field in action.input
        if field.required
    }


def _documented_body(operation: Operation) -> Any:
    """The example of the OpenAPI document, or else what it requires."""
    request = (operation.documented or {})["requestBody"]
    content = next(iter(request["content"].values()))
    schema = resolved(content["schema"])
    for said in (content.get("example"), *(schema.get("examples") or ())):
        if said is not None:
            return said
    if not schema.get("required"):
        return {}
    raise NoControl(f"{operation.name}: say in RECIPES what its body is")


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    document: Any = openapi_document()
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return schema


# --- what no declaration says --------------------------------------------------------------------------------------


def _refresh_token(made: Stock) -> str:
    with system_context("a token to be refreshed"):
        user = User.objects.get(pk=made.world.users["admin"])
    return open_session(user, now=timezone.now(), company_slug=made.world.company.slug).refresh


def _stage(made: Stock, kind: str = "open", skip: str = "") -> UUID:
    """A stage of the main deal's pipeline."""
    with made.world.acting() as actor:
        deal = view("deal", actor).get(made.record("deal"))
        stages = view("pipeline_stage", actor).records().filter(pipeline=deal.pipeline_id, stage_type=kind)
        found = next(stage.pk for stage in stages.order_by("order") if stage.pk != deal.stage_id)
    return UUID(str(found))


def _uploaded(made: Stock) -> dict[str, Any]:
    body = {"file": f"last_name,city\n{made.marks.text} Doe,Bern\n", "entity_type": "lead"}
    return {"body": {**body, "template": str(made.record("import_template"))}, "is_form": True}


def _file(made: Stock) -> str:
    """The file of the main import."""
    with made.world.acting() as actor:
        return str(view("import_job", actor).get(made.record("import_job")).file_id)


def _link(made: Stock) -> str:
    with made.world.acting() as actor:
        return create_link(get_file(actor, _file(made), timezone.now()), now=timezone.now()).token


def _planned_import(made: Stock) -> str:
    """An import whose plan stands."""
    from data_import.operations.jobs import change_job
    from data_import.operations.run import run_import

    actor = made.world.actor()
    with made.world.acting():
        job = MAKERS["import_job"](made, actor)[0]
        change_job(actor, job, timezone.now(), is_dry_run=True)
    run_import(actor=actor, job_id=job)
    return str(job)


def _closed_deal(made: Stock) -> str:
    with made.world.acting() as actor:
        [deal] = made.make(entities["deal"])
        crm.win_deal(actor=actor, deal_id=deal, now=timezone.now())
    return str(deal)


def _reason(made: Stock, applies_to: str) -> str:
    with made.world.acting() as actor:
        reasons = view("lost_reason", actor).records().filter(applies_to=applies_to)
        return str(reasons.order_by("pk").values_list("pk", flat=True)[0])


def _reset_token(made: Stock) -> str:
    with system_context("a token for a test"):
        user = User.objects.get(pk=made.world.users["sales"])
    return make_reset_token(user, now=timezone.now())


def _invited(made: Stock) -> UUID:
    """Somebody who has not been sent anything yet."""
    with made.world.acting():
        [found] = made.make(entities["user"])
        Invitation.objects.filter(pk=found).update(sent_at=None)
    return found


def _invitation_token(made: Stock) -> str:
    found = _invited(made)
    with system_context("a link for a test"), unit_of_work():
        return issue_link(Invitation.objects.get(pk=found), is_mailed=True, now=timezone.now())


def _registration_token(made: Stock) -> str:
    with system_context("a link for a test"), unit_of_work():
        row = Registration.objects.create(
            email=f"{made.next()}@{made.world.company.slug}.test",
            company_name=f"{made.marks.text} {made.next()}",
            expires_at=timezone.now() + timedelta(days=1),
        )
        return issue_link(row, is_mailed=True, now=timezone.now())


def _notification(made: Stock) -> str:
    """A new one for the admin of the company."""
    with made.world.acting() as actor:
        notify(
            actor=actor,
            kind="import.finished",
            key=f"{made.next()}",
            recipients=[made.world.users["admin"]],
            title=f"{made.marks.text} import finished",
            now=timezone.now(),
        )
        newest = Notification.objects.order_by("-pk").values_list("pk", flat=True).first()
    return str(newest)


def _entry(made: Stock) -> str:
    """The entry of a change of the main account."""
    with made.world.acting() as actor:
        record_id = made.record("account")
        write_one(
            view("account", actor),
            "update",
            record_id,
            {"name": f"{made.marks.text} {made.next()}"},
            now=timezone.now(),
        )
        newest = AuditLog.objects.filter(entity_id=record_id).order_by("-pk").values_list("pk", flat=True)
        return str(newest[0])


def _logged_record(made: Stock) -> dict[str, str]:
    return {"entity_type": "account", "entity_id": str(made.record("account"))}


def _seal(made: Stock) -> dict[str, Any]:
    """A seal of the company's change log, and an entry in it."""
    with made.world.acting():
        seal = AuditSeal.objects.order_by("number")[0]
        return {"path": {"seal_id": str(seal.pk)}, "query": {"log": str(log_ids_of(seal)[0])}}


def _finished(made: Stock, entity: str) -> dict[str, str]:
    """The main export or report, made by its job."""
    record_id = made.record(entity)
    with made.world.acting() as actor:
        job_id = view(entity, actor).get(record_id).job_id
    with system_context("a worker for a test"):
        run_job(job_id, now=timezone.now() + timedelta(hours=1))
    return {f"{entity}_id": str(record_id)}


def _workflow(made: Stock) -> dict[str, str]:
    return {"pk": str(made.record("workflow"))}


def _workflow_run(made: Stock, status: str = "waiting") -> str:
    """A run of the main workflow on the main lead."""
    with made.world.acting() as actor:
        workflow = view("workflow", actor).get(made.record("workflow"))
        run = WorkflowRun.objects.create(
            company_id=actor.company_id,
            workflow_id=workflow.pk,
            of_version_id=version_of(workflow).pk,
            event_key=f"{made.marks.text} {made.next()}",
            entity_type="lead",
            record_id=made.record("lead"),
            status=status,
        )
        return str(run.pk)


def _nothing_pending(made: Stock) -> None:
    """A record waits for one process once: earlier requests are taken back."""
    with made.world.acting():
        ApprovalRequest.objects.filter(status__in=UNFINISHED).update(status="recalled")


def _submission(made: Stock) -> dict[str, Any]:
    _nothing_pending(made)
    return {
        "body": {
            "process": str(made.record("approval_process")),
            "entity_type": "deal",
            "entity_id": str(made.record("deal")),
        }
    }


def _approval(made: Stock, action: str = "", body: dict[str, Any] | None = None) -> dict[str, Any]:
    """A request of the main process about a deal, which the admin may approve."""
    _nothing_pending(made)
    with made.world.acting() as actor:
        request = approvals.submit(
            actor=actor,
            process_id=made.record("approval_process"),
            entity_type="deal",
            record_id=made.record("deal"),
            now=timezone.now(),
            comment=f"{made.marks.text} asks",
        )
        # Whoever owns the deal would be asked.
        ApprovalTask.objects.filter(request_id=request.pk).update(approver_id=made.world.users["admin"])
        if action == "resubmit":
            ApprovalRequest.objects.filter(pk=request.pk).update(status="draft")
        told = dict(body or {})
        if action == "reassign":
            told["task"] = str(ApprovalTask.objects.get(request_id=request.pk).pk)
        if action == "bulk":
            return {"body": {"ids": [str(request.pk)]}}
    return {"path": {"request_id": str(request.pk)}, "body": told}


def _to_manager(made: Stock) -> dict[str, Any]:
    return {"to": str(made.world.users["manager"])}


def _report(made: Stock) -> dict[str, str]:
    return {"pk": str(made.record("report"))}


def _report_file(made: Stock) -> dict[str, str]:
    """A run of the main report whose file a job has made."""
    with made.world.acting() as actor:
        report = view("report", actor).get(made.record("report"))
        run = ask_for_file(actor, report, format="csv", filters=[], now=timezone.now())
    with system_context("a worker for a test"):
        run_job(run.job_id, now=timezone.now() + timedelta(hours=1))
    return {**_report(made), "run_id": str(run.pk)}


RECIPES: dict[str, Callable[[Stock], dict[str, Any]]] = {
    "GET /analytics/reports/fields/": lambda made: {"query": {"data_source": "deals"}},
    "POST /analytics/reports/preview/": lambda made: {
        "body": {"data_source": "deals", "pivot_rows": ["account"], "pivot_columns": ["stage"]}
    },
    "POST /analytics/reports/{pk}/run/": lambda made: {"path": _report(made), "body": {"filters": []}},
    "GET /analytics/reports/{pk}/drill/": lambda made: {"path": _report(made), "query": {"row": "[]"}},
    "GET /analytics/reports/{pk}/runs/{run_id}/download/": lambda made: {"path": _report_file(made)},
    "GET /analytics/reports/{pk}/chart/": lambda made: {"path": _report(made)},
    "POST /analytics/dashboards/{pk}/run/": lambda made: {"path": {"pk": str(made.record("dashboard"))}},
    "GET /analytics/reports/{pk}/runs/": lambda made: {"path": _report(made)},
    "GET /audit/seals/{seal_id}/proof/": _seal,
    "GET /audit/exports/{audit_log_export_id}/download/": lambda made: {
        "path": _finished(made, "audit_log_export")
    },
    "GET /audit/compliance-reports/{compliance_report_id}/download/": lambda made: {
        "path": _finished(made, "compliance_report")
    },
    "GET /audit/logs/by-entity/": lambda made: {"query": _logged_record(made)},
    "GET /audit/logs/as-of/": lambda made: {
        "query": {**_logged_record(made), "at": timezone.now().isoformat()}
    },
    "GET /audit/logs/{log_id}/": lambda made: {"path": {"log_id": _entry(made)}},
    "POST /audit/logs/{log_id}/review/": lambda made: {"path": {"log_id": _entry(made)}},
    "POST /audit/logs/{log_id}/revert/": lambda made: {"path": {"log_id": _entry(made)}},
    "POST /auth/login/": lambda made: {
        "body": {"email": f"admin@{made.world.company.slug}.test", "password": PASSWORD}
    },
    "POST /auth/register/": lambda made: {"body": {"company_name": "Newcomer", "email": "ida@newcomer.test"}},
    "POST /auth/register/read/": lambda made: {"body": {"token": _registration_token(made)}},
    "POST /auth/register/confirm/": lambda made: {
        "body": {"token": _registration_token(made), "password": "another calm harbor at dusk"}
    },
    "POST /auth/invitations/read/": lambda made: {"body": {"token": _invitation_token(made)}},
    "POST /auth/invitations/accept/": lambda made: {
        "body": {"token": _invitation_token(made), "password": "another calm harbor at dusk"}
    },
    "POST /auth/refresh/": lambda made: {"body": {"refresh": _refresh_token(made)}},
    "POST /auth/logout/": lambda made: {"body": {}},
    "POST /auth/change-password/": lambda made: {
        "body": {"current_password": PASSWORD, "new_password": "another calm harbor at dusk"}
    },
    "POST /auth/password-reset/": lambda made: {"body": {"email": made.world.email("sales")}},
    "POST /auth/password-reset/confirm/": lambda made: {
        "body": {"token": _reset_token(made), "new_password": "another calm harbor at dusk"}
    },
    "PUT /me/notification-preferences/": lambda made: {
        "body": {"channels": {"import.finished": ["in_app", "email"]}}
    },
    "POST /notifications/read-all/": lambda made: {"body": {}},
    "POST /notifications/{notification_id}/read/": lambda made: {
        "path": {"notification_id": _notification(made)}
    },
    "POST /auth/switch-company/": lambda made: {"body": {"company": made.world.company.slug}},
    "PATCH /company/": lambda made: {"body": {"name": f"{made.marks.text} renamed"}},
    "PATCH /users/me/": lambda made: {"body": {"first_name": f"{made.marks.text} renamed"}},
    "POST /api-keys/": lambda made: {"body": {"name": f"{made.marks.text} key", "scopes": ["read"]}},
    "GET /metadata/entities/{name}/": lambda made: {"path": {"name": "role"}},
    "GET /metadata/entities/{name}/fields/": lambda made: {"path": {"name": "role"}},
    "GET /monitoring/health/": lambda made: {"query": {"live": "1"}},
    "POST /territories/explain/": lambda made: {
        "body": {"entity_type": "account", "record_id": str(made.record("account"))}
    },
    "GET /workflow/approval-requests/{request_id}/": lambda made: {"path": _approval(made)["path"]},
    "GET /workflow/approval-requests/{request_id}/history/": lambda made: {"path": _approval(made)["path"]},
    "POST /workflow/approval-requests/": _submission,
    "POST /workflow/approval-requests/bulk-approve/": lambda made: _approval(made, "bulk"),
    "POST /workflow/approval-requests/{request_id}/approve/": _approval,
    "POST /workflow/approval-requests/{request_id}/reject/": _approval,
    "POST /workflow/approval-requests/{request_id}/recall/": _approval,
    "POST /workflow/approval-requests/{request_id}/escalate/": _approval,
    "POST /workflow/approval-requests/{request_id}/resubmit/": lambda made: _approval(made, "resubmit"),
    "POST /workflow/approval-requests/{request_id}/comment/": lambda made: _approval(
        made, body={"comment": f"{made.marks.text} says"}
    ),
    "POST /workflow/approval-requests/{request_id}/delegate/": lambda made: _approval(
        made, body=_to_manager(made)
    ),
    "POST /workflow/approval-requests/{request_id}/reassign/": lambda made: _approval(
        made, "reassign", _to_manager(made)
    ),
    "POST /workflow/approval-processes/{pk}/simulate/": lambda made: {
        "path": {"pk": str(made.record("approval_process"))},
        "body": {"entity_id": str(made.record("deal"))},
    },
    "GET /workflow-runs/{run_id}/": lambda made: {"path": {"run_id": _workflow_run(made)}},
    "POST /workflow-runs/{run_id}/cancel/": lambda made: {"path": {"run_id": _workflow_run(made)}},
    "POST /workflow-runs/{run_id}/retry/": lambda made: {"path": {"run_id": _workflow_run(made, "failed")}},
    "POST /workflows/{pk}/execute/": lambda made: {
        "path": _workflow(made),
        "body": {"record_ids": [str(made.record("lead"))], "dry_run": True},
    },
    "POST /workflows/{pk}/test/": lambda made: {"path": _workflow(made), "body": {"days": 1, "limit": 5}},
    "GET /workflows/{pk}/runs/": lambda made: {"path": _workflow(made)},
    "GET /workflows/{pk}/stats/": lambda made: {"path": _workflow(made)},
    "GET /workflows/{pk}/webhook-secret/": lambda made: {"path": _workflow(made)},
    "GET /workflows/{pk}/why-not/": lambda made: {
        "path": _workflow(made),
        "query": {"record": str(made.record("lead"))},
    },
    "GET /jobs/{job_id}/": lambda made: {"path": {"job_id": str(made.record("job"))}},
    "POST /jobs/{job_id}/cancel/": lambda made: {"path": {"job_id": str(made.record("job"))}},
    "POST /jobs/{job_id}/retry/": lambda made: {"path": {"job_id": str(made.record("job", SPARE))}},
    "GET /files/{pk}/": lambda made: {"path": {"pk": _file(made)}},
    "GET /files/{pk}/download/": lambda made: {"path": {"pk": _file(made)}},
    "POST /files/{pk}/link/": lambda made: {"path": {"pk": _file(made)}, "body": {}},
    "DELETE /files/{pk}/link/": lambda made: {"path": {"pk": _file(made)}},
    "GET /files/d/{token}/": lambda made: {"path": {"token": _link(made)}},
    "POST /data-import/jobs/": _uploaded,
    "PATCH /data-import/jobs/{pk}/": lambda made: {"body": {"mode": "create"}},
    "GET /data-import/jobs/{pk}/staging/": lambda made: {"path": {"pk": str(made.record("import_job"))}},
    "PATCH /data-import/jobs/{pk}/staging/{row}/": lambda made: {
        "path": {"pk": _planned_import(made), "row": "1"},
        "body": {"cells": {"city": f"{made.marks.text} town"}},
    },
    "GET /data-import/jobs/{pk}/preview/": lambda made: {"path": {"pk": _planned_import(made)}},
    "POST /users/{pk}/resend-invitation/": lambda made: {"path": {"pk": str(_invited(made))}},
    "POST /users/{pk}/set-password/": lambda made: {"body": {"password": "another calm harbor at dusk"}},
    "POST /leads/{pk}/assign/": lambda made: {"body": {"owner": str(made.world.users["manager"])}},
    "POST /leads/{pk}/convert/": lambda made: {
        "body": {"account": str(made.record("account")), "contact": str(made.record("contact"))}
    },
    "POST /leads/{pk}/disqualify/": lambda made: {"body": {"reason": _reason(made, "lead")}},
    "POST /deals/{pk}/move/": lambda made: {"body": {"stage": str(_stage(made))}},
    "POST /deals/{pk}/lose/": lambda made: {"body": {"lost_reason": _reason(made, "deal")}},
    "POST /deals/{pk}/reopen/": lambda made: {
        "path": {"pk": _closed_deal(made)},
        "body": {"stage": str(made.record("pipeline_stage"))},
    },
}
