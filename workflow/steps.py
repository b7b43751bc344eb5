"""What an action knows while it runs: whose rights, which record, what happened, and how its texts are filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from datetime import time as day_time
from typing import Any
from uuid import UUID

from django.conf import settings

from core.access import EntityView, view
from core.access.related import add_details, load, tree_of
from core.conditions import NotLoaded
from core.entities import Entity, entities
from core.kernel.errors import DomainError, NotFound, Unprocessable
from core.tenancy.actors import Actor
from workflow import expressions, templates
from workflow.definitions import compile_for, zone_of
from workflow.records import value_at
from workflow.registries import ActionType

EXPRESSION = "expression"


class NoRecord(NotFound):
    code = "record_gone"
    title = "The record is not there any more, or whoever the workflow runs as may not see it"


@dataclass(frozen=True)
class Step:
    """One action of a run. `key` names it for ever: what leaves the database carries it, so that a repetition is known."""

    actor: Actor
    now: datetime
    key: str
    workflow_id: UUID
    workflow_name: str
    run_id: UUID | None
    action_id: UUID | None
    entity_type: str
    record_id: UUID | None
    event: Mapping[str, Any] = field(default_factory=dict)
    # The record that the run began with, where a loop is about others.
    began_with: tuple[str, UUID] | None = None
    # Outputs of the steps before, by the keys of their actions.
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def entity(self) -> Entity:
        """Raises: NoRecord."""
        if not self.entity_type:
            raise NoRecord()
        return entities[self.entity_type]

    @property
    def view(self) -> EntityView:
        return view(self.entity, self.actor)

    @property
    def record(self) -> UUID:
        """Raises: NoRecord."""
        if self.record_id is None:
            raise NoRecord()
        return self.record_id

    # --- texts --------------------------------------------------------------------------------------------------

    def fill(self, payload: Mapping[str, Any], action_type: ActionType | None = None) -> dict[str, Any]:
        """The payload with its templates and expressions filled in, as the run's person sees the record.

        Raises: NoRecord where a template names the record and it is gone; Unprocessable for an expression without a value.
        """
        as_html = action_type.html if action_type else frozenset()
        verbatim = action_type.verbatim if action_type else frozenset()
        lookup = self.lookup(payload)
        return {
            name: value if name in verbatim else self._fill(value, lookup, name in as_html)
            for name, value in payload.items()
        }

    def _fill(self, value: Any, lookup: templates.Lookup, as_html: bool) -> Any:
        if isinstance(value, Mapping):
            if set(value) == {EXPRESSION}:
                return self._evaluate(value[EXPRESSION], lookup)
            return {name: self._fill(item, lookup, as_html) for name, item in value.items()}
        if isinstance(value, list):
            return [self._fill(item, lookup, as_html) for item in value]
        return templates.fill(value, lookup, as_html=as_html)

    def _evaluate(self, text: str, lookup: templates.Lookup) -> Any:
        today = self.now.astimezone(zone_of(self.actor)).date()
        try:
            found = expressions.evaluate(expressions.read(text), lookup, now=self.now, today=today)
        except expressions.BadExpression as bad:
            raise Unprocessable(str(bad), code="bad_expression") from None
        return expressions.as_json(found)

    def lookup(self, payload: Any) -> templates.Lookup:
        """A function from a path to its value; what the payload names is read beforehand."""
        paths = list(_paths(payload))
        record = self._document(self.record_id, self.entity_type, paths, "record")
        began = None
        if self.began_with is not None and any(path.startswith("trigger_record.") for path in paths):
            entity_type, record_id = self.began_with
            began = self._document(record_id, entity_type, paths, "trigger_record")

        def look(path: str) -> Any:
            root, _, rest = path.partition(".")
            if root == "record":
                return self._of_record(record, rest)
            if root == "trigger_record":
                return value_at(began, rest)
            if root == "old":
                # A field that the change left alone was as it is; nobody reads here what they may not see.
                old = self.event.get("old") or {}
                if rest not in self.view.fields or rest in self.view.access.masks:
                    return value_at(record, rest)
                return old[rest] if rest in old else value_at(record, rest)
            if root == "event":
                return self.event.get(rest)
            if root == "steps":
                key, _, name = rest.partition(".")
                return (self.outputs.get(key) or {}).get(name)
            return {"id": str(self.run_id or ""), "workflow": self.workflow_name}.get(rest)

        return look

    def _of_record(self, record: Mapping[str, Any] | None, rest: str) -> Any:
        if rest == "url":
            return f"{settings.PUBLIC_URL}/admin/records/{self.entity_type}/{self.record_id}/"
        if rest == "id":
            return None if self.record_id is None else str(self.record_id)
        return value_at(record, rest)

    def _document(
        self, record_id: UUID | None, entity_type: str, paths: list[str], root: str
    ) -> dict[str, Any] | None:
        roots = (root, "old") if root == "record" else (root,)
        named = [path.partition(".")[2] for path in paths if path.partition(".")[0] in roots]
        named = [name for name in named if name not in ("id", "url")]
        if not named or record_id is None or not entity_type:
            return None
        return self.document(entities[entity_type], record_id, named)

    def document(self, entity: Entity, record_id: UUID, paths: list[str]) -> dict[str, Any]:
        """The record with these paths, as the run's person sees it now. Raises: NoRecord."""
        source = view(entity, self.actor)
        tree = tree_of(paths)
        found = load(source, [record_id], tree, binned=True).get(record_id)
        if found is None:
            raise NoRecord()
        add_details(source, [found], tree)
        return found

    # --- conditions ---------------------------------------------------------------------------------------------

    def holds(self, conditions: Mapping[str, Any] | None) -> bool:
        """Whether the record meets the conditions now. Raises: NoRecord, Invalid, Forbidden."""
        if not conditions:
            return True
        condition = compile_for(self.actor, self.entity, conditions, old_values=False)
        paths = [path for path in condition.fields if not path.startswith("event.")]
        document = self.document(self.entity, self.record, paths or ["id"])
        record = {**document, "event": self.event.get("type"), "event_detail": self.event or None}
        try:
            return condition.matches(record, None, now=self.now)
        except NotLoaded:
            return False


def _paths(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {EXPRESSION} and isinstance(value[EXPRESSION], str):
            try:
                yield from expressions.paths_of(expressions.read(value[EXPRESSION]))
            except expressions.BadExpression:
                return
        else:
            for item in value.values():
                yield from _paths(item)
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item)
    elif isinstance(value, str):
        yield from templates.paths_in(value)


def refusal_of(error: DomainError) -> tuple[str, str]:
    """Code and text of a refusal, with its faults."""
    faults = [f"{fault.path}: {fault.detail}" if fault.path else fault.detail for fault in error.faults]
    return error.code, " ".join([error.detail, *faults])[:2_000]


def wait_until(step: Step, payload: Mapping[str, Any], now: datetime) -> datetime:
    """When a wait is over at the latest. Raises: DomainError for a date that is none, NoRecord."""
    if payload.get("event"):
        return now + timedelta(hours=int(payload["timeout_hours"]))
    if payload.get("until"):
        text = str(step.fill({"until": payload["until"]})["until"] or "")
        try:
            if len(text) == 10:
                midnight = datetime.combine(date.fromisoformat(text), day_time(), zone_of(step.actor))
                return midnight
            found = datetime.fromisoformat(text)
        except ValueError:
            raise DomainError(f"{text[:40]!r} is no date to wait for.", code="not_a_date") from None
        return found if found.tzinfo else found.replace(tzinfo=zone_of(step.actor))
    return now + timedelta(**{unit: int(payload.get(unit) or 0) for unit in ("days", "hours", "minutes")})


def related_records(step: Step, payload: Mapping[str, Any]) -> list[UUID]:
    """The records a loop goes through, the oldest first."""
    source = view(payload["entity"], step.actor)
    relation = source.access.ask(payload["relation"])
    records = source.records().filter(**{relation.column: step.record})
    if payload.get("conditions"):
        condition = compile_for(
            step.actor, entities[payload["entity"]], payload["conditions"], old_values=False, in_memory=False
        )
        records = records.filter(condition.to_q(now=step.now))
    return list(records.order_by("pk").values_list("pk", flat=True)[: int(payload.get("limit") or 100)])
