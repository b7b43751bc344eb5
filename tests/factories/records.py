"""Records of any registered entity, made through its own create operation from what the registry says of it.

A new entity needs nothing here: its fields say what they take, and where a rule of the entity refuses a value, the next
likely one is tried. An entity that no client can create has its maker in `MAKERS`, with the reason beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from core.access import view
from core.access.writing import write
from core.changes import Outcome, Rows
from core.entities import Entity, Field, entities
from core.entities.kinds import Kind
from core.identity.models import Person, Role
from core.identity.operations import create_api_key, create_members
from core.jobs import enqueue
from core.jobs.models import Job
from core.kernel.errors import DomainError, Fault
from core.kernel.ids import uuid7
from core.kernel.transactions import savepoint
from core.tenancy.actors import Actor
from core.tenancy.context import system_context
from tests.worlds import PASSWORD, World

# The places of an entity's records: one that others refer to, one that nothing refers to, one in the recycle bin.
MAIN, SPARE, BINNED = range(3)
MAX_TRIES = 60
LEFT_OUT = 1_000


@dataclass(frozen=True)
class Marks:
    """What all values of one company's records carry, so that a stray one can be told."""

    text: str
    number: int
    day: str


@dataclass
class Stock:
    """A company with records of every entity."""

    world: World
    marks: Marks
    records: dict[str, list[UUID]] = field(default_factory=dict)
    # By entity and field: which of the likely values was taken.
    chosen: dict[str, dict[str, int]] = field(default_factory=dict)
    counter: int = 0

    def next(self) -> int:
        self.counter += 1
        return self.counter

    def record(self, entity: str, place: int = MAIN) -> UUID:
        return self.records[entity][place]

    def file_ids(self) -> list[UUID]:
        """The stored files of the imports."""
        from core.files.models import StoredFile

        with self.world.acting():
            return list(StoredFile.objects.order_by("pk").values_list("pk", flat=True))

    def document(self, entity: Entity) -> dict[str, Any]:
        """A new input of this entity, of values it has taken before."""
        return _document(self, entity, self.next())

    def make(self, entity: Entity, count: int = 1) -> list[UUID]:
        """More records, each different. Needs the company in context and a transaction."""
        actor = self.world.actor()
        if entity.name not in self.chosen:
            _learn(self, entity, actor)
        rows = [view(entity, actor).read_input(self.document(entity), partial=False) for _ in range(count)]
        outcome = write(view(entity, actor), "create", rows, now=timezone.now())
        outcome.raise_if_refused()
        return list(outcome.ids.values())


class NoFactory(AssertionError):
    """A record of an entity cannot be made from its facts."""


def stock(world: World, marks: Marks) -> Stock:
    """Records of every registered entity in the world's company. Needs a transaction."""
    made = Stock(world, marks)
    with world.acting() as actor:
        for entity in _in_order():
            maker = MAKERS.get(entity.name)
            if maker is not None:
                made.records[entity.name] = maker(made, actor)
            elif entity.writes.create is not None:
                made.records[entity.name] = made.make(entity, 3 if entity.is_soft_deleted else 2)
            else:
                raise NoFactory(
                    f"{entity.name} can be made by nobody; say in MAKERS where its rows come from"
                )
        made.records["job"] = _jobs(made)
        _review(made, actor)
        _seal(made)
        for entity in entities:
            _link(made, entity, actor)
            if entity.is_soft_deleted and entity.writes.delete is not None:
                _run(view(entity, actor), "delete", {"id": made.record(entity.name, BINNED)})
    return made


def _in_order() -> Iterator[Entity]:
    """Entities after those they cannot be without, and those without a create operation at the end."""
    placed: list[str] = []

    def place(entity: Entity, below: tuple[str, ...]) -> None:
        if entity.name in placed or entity.name in below:
            return
        for item in entity.fields.values():
            if item.is_relation and item.required and not item.read_only:
                place(entities[item.to], (*below, entity.name))
        placed.append(entity.name)

    for entity in sorted(entities, key=lambda entity: entity.writes.create is None):
        place(entity, ())
    return (entities[name] for name in placed)


# --- values --------------------------------------------------------------------------------------------------------

_NOTHING: Any = object()
# A record made for this one alone, where each may be referred to once.
_FRESH: Any = object()
# What a text must be beyond a text, where no fact says so.
LIKELY: dict[tuple[str, str], Any] = {
    ("import_template", "entity_type"): "lead",
    # Every entry has been there since some day.
    ("audit_policy", "rules"): [{"condition": "at > '2000-01-01T00:00:00Z'"}],
    ("audit_policy", "applies_to_entities"): [],
    ("audit_policy", "applies_to_actions"): [],
    ("audit_policy", "alert_recipients"): ["compliance@example.com"],
    ("audit_policy", "retention_days"): 365,
    ("import_template", "transformation_rules"): [],
    ("import_template", "validation_rules"): [],
    ("import_template", "required_fields"): [],
    ("report", "data_source"): "deals",
    ("report", "pivot_rows"): ["stage", "account.industry"],
    ("report", "pivot_columns"): ["quarter"],
    ("report", "pivot_values"): [{"field": "amount", "aggregation": "sum"}],
    ("report", "pivot_filters"): [],
    ("report", "sort"): {},
    ("report", "limits"): {},
    ("report", "chart_config"): {"type": "bar", "x_axis": "stage", "y_axis": "amount"},
    ("report", "schedule"): {},
    ("report", "schedule_recipients"): [],
    ("report", "shared_with"): [],
    ("report", "owner"): None,
    ("dashboard", "widgets"): [],
    ("dashboard", "filters"): [],
    ("dashboard", "shared_with"): [],
    ("dashboard", "owner"): None,
    # A territory that somebody works in would open its records to them.
    ("territory", "manager"): None,
    ("territory_member", "territory"): _FRESH,
    ("territory_member", "effective_from"): "2001-01-01",
    ("territory_member", "effective_to"): "2001-12-31",
    ("territory_rule", "entity_type"): "account",
    ("territory_rule", "condition"): {"field": "name", "operator": "is_null"},
    ("approval_process", "process_type"): "multi_step",
    ("approval_process", "entity_type"): "deal",
    ("approval_process", "entry_condition"): None,
    ("approval_process", "steps"): [{"step": 1, "approvers": [{"kind": "owner"}]}],
    ("approval_process", "locked_fields"): [],
    ("approval_process", "enable_escalation"): False,
    ("approval_process", "escalation_after_hours"): 24,
    ("approval_process", "escalation_chain"): [{"kind": "owner"}],
    ("approval_process", "allow_self_approval"): True,
    ("workflow", "entity_type"): "lead",
    # Whoever makes it: only an administrator may name somebody else.
    ("workflow", "run_as"): None,
    ("workflow", "triggers"): [{"event_type": "lead.created"}],
    ("workflow", "actions"): [{"action_type": "add_tag", "payload": {"tag": "seen"}}],
}


def likely_values(made: Stock, entity: Entity, item: Field, number: int) -> list[Any]:
    """Values that the field may take, the most telling first; the last is to leave it out."""
    known = LIKELY.get((entity.name, item.name), _NOTHING)
    if known is not _NOTHING:
        return [known]
    marks = made.marks
    name = f"{marks.text} {number} {entity.name} {item.name}"
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower())
    short = item.max_length or 10_000
    room = max(short - len(str(number)), 0)
    texts = [name[:short], slug[:short], f"{slug[:room]}{number}", str(number)[:short]]
    values: dict[Kind, list[Any]] = {
        Kind.TEXT: texts,
        Kind.LONG_TEXT: texts,
        Kind.EMAIL: [f"{slug}@{made.world.company.slug}.test"],
        Kind.PHONE: [f"+1 202 555 {number:04}", *texts],
        Kind.URL: [f"https://{slug.replace('_', '-')}.test/"],
        Kind.COUNTRY: ["DE"],
        Kind.CURRENCY: ["EUR"],
        Kind.CHOICE: [item.default, *item.choice_values],
        Kind.INTEGER: [marks.number + number, number % 90 + 1, 1, 0],
        Kind.DECIMAL: [str(marks.number + number), "7", "1"],
        Kind.MONEY: [str(marks.number + number), "7", "1"],
        Kind.BOOLEAN: [True if item.default is None else item.default, False],
        # The last one where no two records may have the same.
        Kind.DATE: [marks.day, "2026-06-30", (date(1990, 1, 1) + timedelta(days=number)).isoformat()],
        Kind.DATETIME: [f"{marks.day}T10:00:00Z", "2026-06-30T10:00:00Z"],
        Kind.TAGS: [[f"{marks.text} {number}"], ["read"], ["text"], []],
        Kind.JSON: [{}, []],
        Kind.UUID: [str(made.world.users["sales"])],
    }
    if item.kind is Kind.PERSON:
        return [str(made.world.users["sales"]), str(made.world.users["admin"])]
    if item.kind is Kind.RELATION:
        known = [str(record_id) for record_id in made.records.get(item.to, [])[:1]]
        return [*known, _FRESH] if item.required else known
    return [value for value in values[item.kind] if value not in (None, "")]


def _document(made: Stock, entity: Entity, number: int) -> dict[str, Any]:
    choices = made.chosen.setdefault(entity.name, {})
    document = {}
    for item in entity.fields.values():
        if item.read_only:
            continue
        values = likely_values(made, entity, item, number)
        place = choices.get(item.name, 0)
        if place < len(values):
            document[item.name] = values[place]
            if values[place] is _FRESH:
                with made.world.acting():
                    document[item.name] = str(made.make(entities[item.to])[0])
    return document


def _learn(made: Stock, entity: Entity, actor: Actor) -> None:
    """Find values of every field that the entity takes together, and takes of two records at once."""
    choices = made.chosen.setdefault(entity.name, {})
    for _ in range(MAX_TRIES):
        faults = _faults(made, entity, actor)
        if not faults:
            return _leave_out_the_rest(made, entity)
        document = _document(made, entity, made.next())
        named = {fault.path.split(".")[0] for fault in faults} & set(document)
        if not named:
            break
        for name in named:
            choices[name] = choices.get(name, 0) + 1
    _learn_one_by_one(made, entity, actor)
    return _leave_out_the_rest(made, entity)


def _learn_one_by_one(made: Stock, entity: Entity, actor: Actor) -> None:
    """Where fields exclude each other: what is required, then each other field that goes with those before."""
    choices = made.chosen[entity.name]
    writable = [item for item in entity.fields.values() if not item.read_only]
    for item in writable:
        choices[item.name] = 0 if item.required else LEFT_OUT
    for item in [*writable, *writable]:
        kept = choices[item.name]
        for place in range(len(likely_values(made, entity, item, 1))):
            choices[item.name] = place
            if not _faults(made, entity, actor):
                break
        else:
            choices[item.name] = kept
    faults = _faults(made, entity, actor)
    if faults:
        raise NoFactory(f"{entity.name} refuses everything: {faults}")


def _leave_out_the_rest(made: Stock, entity: Entity) -> None:
    """What was left out now stays so: a value that turns up later has not been tried with the others."""
    document = _document(made, entity, made.next())
    for name in entity.fields:
        if name not in document:
            made.chosen[entity.name][name] = LEFT_OUT


def _faults(made: Stock, entity: Entity, actor: Actor) -> tuple[Fault, ...]:
    seen = view(entity, actor)
    try:
        with savepoint():
            documents = [_document(made, entity, made.next()) for _ in range(2)]
            rows = [seen.read_input(document, partial=False) for document in documents]
            outcome = write(seen, "create", rows, now=timezone.now())
            if not outcome.refused:
                connection.check_constraints()
            raise _Undone(tuple(fault for faults in outcome.refused.values() for fault in faults))
    except _Undone as undone:
        return undone.faults
    except DomainError as refusal:
        return refusal.faults or (Fault("", refusal.code, refusal.detail),)


class _Undone(Exception):
    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__()
        self.faults = faults


def _run(seen: Any, operation: str, row: dict[str, Any]) -> Outcome:
    outcome = write(seen, operation, [row], now=timezone.now())
    outcome.raise_if_refused()
    connection.check_constraints()
    return outcome


def _link(made: Stock, entity: Entity, actor: Actor) -> None:
    """Set what the main record could not refer to when it was made, where the entity lets it."""
    if entity.writes.update is None:
        return
    key = made.record(entity.name)
    seen = view(entity, actor)
    for item in entity.fields.values():
        targets = [str(target) for target in made.records.get(item.to, ())[:2] if target != key]
        if item.kind is not Kind.RELATION or item.read_only or not targets:
            continue
        if seen.records().filter(pk=key, **{f"{item.column}__isnull": True}).exists():
            values = seen.read_input({item.name: targets[0]}, partial=True, operation="update")
            try:
                with savepoint():
                    _run(seen, "update", {**values, "id": key})
            except DomainError:
                # A rule of the entity: this pair does not go together.
                continue


# --- records that no client creates --------------------------------------------------------------------------------


def _api_keys(made: Stock, actor: Actor) -> list[UUID]:
    name = f"{made.marks.text} key"
    return [
        create_api_key(actor, name=f"{name} {place}", scopes=["read"], now=timezone.now()).id
        for place in range(2)
    ]


def _import_jobs(made: Stock, actor: Actor) -> list[UUID]:
    from data_import.operations.jobs import create_job
    from data_import.schemas import ImportSettings

    marks, ids = made.marks, [uuid7(), uuid7()]
    for job_id in ids:
        create_job(
            actor=actor,
            job_id=job_id,
            entity_type="lead",
            settings=ImportSettings(),
            file_name=f"{marks.text} {made.next()}.csv",
            blocks=[f"last_name,city\n{marks.text} Doe,{marks.text}\n".encode()],
            now=timezone.now(),
        )
    return ids


def _jobs(made: Stock) -> list[UUID]:
    """Long work about each of the imports: the first waits, the second has failed. No entity; `/jobs/` shows them."""
    ids = [
        enqueue(kind="import.run", payload={"job": str(job)}, key=str(job), subject=f"{made.marks.text}.csv")
        for job in made.records["import_job"]
    ]
    problem = {"code": "internal_error", "detail": f"{made.marks.text} went wrong."}
    Job.objects.filter(pk=ids[1]).update(state="failed", closed_at=timezone.now(), problem=problem)
    return ids


def _seal(made: Stock) -> None:
    """A seal of the oldest entries. In one transaction nothing is committed, so the task would not take them yet."""
    from audit.models import AuditLog
    from audit.operations import seals
    from audit.sealing.entries import read_between

    company = made.world.company.pk
    oldest = AuditLog.objects.order_by("xid", "pk").values_list("xid", "pk")[:3]
    rows = read_between(company, (0, 0), max(oldest))
    entries = [(xid, row) for (xid, _), row in zip(oldest, rows, strict=True)]
    with system_context("a seal for a test"):
        seals._seal(company, entries, timezone.now())


def _alerts(made: Stock, actor: Actor) -> list[UUID]:
    """Alerts of the main policy, about the two oldest entries of the change log."""
    from audit.models import AuditAlert, AuditLog
    from audit.operations.policies import raise_alerts

    spare = {"id": made.record("audit_policy", SPARE), "is_active": False}
    _run(view("audit_policy", actor), "update", spare)
    oldest = AuditLog.objects.select_related("context").order_by("pk")[:2]
    raise_alerts(actor=actor, entries=oldest, now=timezone.now())
    return list(AuditAlert.objects.order_by("pk").values_list("pk", flat=True)[:2])


def _review(made: Stock, actor: Actor) -> None:
    """Somebody has looked at the oldest entry of the change log. No entity; the entry shows it."""
    from audit.models import AuditLog
    from audit.operations.reviews import review_entry

    oldest = AuditLog.objects.order_by("pk").values_list("pk", flat=True)[0]
    review_entry(actor=actor, log_id=oldest, note=f"{made.marks.text} was looked at", now=timezone.now())


def _existing(entity: str) -> Callable[[Stock, Actor], list[UUID]]:
    def find(made: Stock, actor: Actor) -> list[UUID]:
        return list(view(entity, actor).records().order_by("pk").values_list("pk", flat=True)[:2])

    return find


def _users(made: Stock, actor: Actor) -> list[UUID]:
    role = Role.objects.get(name="sales").pk
    slug = re.sub(r"[^a-z0-9]+", "-", made.marks.text.lower())
    member = {
        "email": f"{slug}-member@{made.world.company.slug}.test",
        "first_name": f"{made.marks.text} member",
        "role": role,
    }
    rows = Rows.of(Person, [member])
    added = create_members(actor=actor, rows=rows, passwords={0: PASSWORD}, now=timezone.now())
    return [added.one, *made.make(entities["user"])]


def _territories(made: Stock, actor: Actor) -> list[UUID]:
    """A main one below a third, and a spare one that nothing hangs on."""
    main, spare, above = made.make(entities["territory"], 3)
    _run(view("territory", actor), "update", {"id": main, "parent_territory": above})
    return [main, spare, above]


MAKERS: dict[str, Callable[[Stock, Actor], list[UUID]]] = {
    # A member, and somebody invited: a client only invites.
    "user": _users,
    # Made by a call of its own, which shows the secret.
    "api_key": _api_keys,
    # Made of an uploaded file.
    "import_job": _import_jobs,
    # A tree of which parts can go.
    "territory": _territories,
    # Raised by entries that meet a policy.
    "audit_alert": _alerts,
    # Written with each deal.
    "deal_stage_history": _existing("deal_stage_history"),
}
