"""Shapes of a workflow's document: its triggers, and its actions with those inside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.kernel.errors import Fault

KEY_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"
MAX_PRIORITY = 1_000_000
MAX_DELAY_SECONDS = 366 * 86_400
MAX_ATTEMPTS = 10


class Part(BaseModel):
    """A part of a document: unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class ScheduleDocument(Part):
    """At the times that a cron expression names, in the company's time zone unless another one is given."""

    cron: str = Field(max_length=100, examples=["0 9 * * 1-5"])
    timezone: str = Field("", max_length=64)


class RelativeDocument(Part):
    """Once for each record, so many days before (negative) or after a date of it, at a time of day."""

    field: str = Field(max_length=128)
    offset_days: int = Field(0, ge=-3650, le=3650)
    at: str = Field("09:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")


class TriggerDocument(Part):
    """What starts a workflow: an event, a schedule, or a date of the record. The conditions must hold besides."""

    key: str | None = Field(None, pattern=KEY_PATTERN, description="Its name; the place is taken otherwise.")
    event_type: str = Field("", max_length=128, examples=["lead.created"])
    schedule: ScheduleDocument | None = None
    relative_to: RelativeDocument | None = None
    conditions: dict[str, Any] | None = Field(None, description="A condition; see the condition language.")
    priority: int = Field(
        0,
        ge=-MAX_PRIORITY,
        le=MAX_PRIORITY,
        description="Of what one event starts, the higher ones come first.",
    )
    is_active: bool = True


class RetryDocument(Part):
    """How often an action that leaves the database is tried, in all."""

    max_attempts: int = Field(ge=1, le=MAX_ATTEMPTS)


class ActionDocument(Part):
    """One action. `then` and `else` belong to a branch, `actions` to a loop."""

    key: str | None = Field(None, pattern=KEY_PATTERN, description="Its name; the place is taken otherwise.")
    action_type: str = Field(max_length=64)
    payload: dict[str, Any] = Field(default_factory=dict)
    ordering: int = Field(0, ge=-1_000_000, le=1_000_000)
    allow_failure: bool = Field(False, description="Go on when it fails.")
    retry: RetryDocument | None = None
    delay_seconds: int = Field(0, ge=0, le=MAX_DELAY_SECONDS)
    conditions: dict[str, Any] | None = Field(None, description="Skip it unless this holds of the record.")
    then: list[ActionDocument] = Field(default_factory=list)
    otherwise: list[ActionDocument] = Field(default_factory=list, alias="else")
    actions: list[ActionDocument] = Field(default_factory=list)

    def inside(self, branch: str) -> list[ActionDocument]:
        found: list[ActionDocument] = getattr(self, {"else": "otherwise"}.get(branch, branch))
        return found


BRANCHES = ("then", "else", "actions")

_CODES = {
    "missing": "required",
    "extra_forbidden": "unknown_field",
    "string_type": "not_text",
    "string_too_long": "too_long",
    "int_type": "not_an_integer",
    "int_parsing": "not_an_integer",
    "list_type": "not_a_list",
    "dict_type": "not_an_object",
    "model_type": "not_an_object",
    "model_attributes_type": "not_an_object",
    "bool_type": "not_a_boolean",
    "literal_error": "not_a_choice",
    "uuid_type": "not_an_id",
    "uuid_parsing": "not_an_id",
}


def faults_of(error: ValidationError, path: str) -> list[Fault]:
    """A refusal of pydantic as faults of the document that holds the value at `path`."""
    found = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in (*([path] if path else ()), *item["loc"]))
        found.append(Fault(where, _CODES.get(item["type"], item["type"]), f"{item['msg']}."))
    return found


def read_part(model: type[BaseModel], document: Any, path: str, faults: list[Fault]) -> Any:
    """The document as its model; None, and the faults are kept, where it is none."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        faults += faults_of(error, path)
        return None


def read_parts(model: type[BaseModel], documents: Any, path: str, faults: list[Fault]) -> list[Any]:
    if not isinstance(documents, Sequence) or isinstance(documents, str):
        faults.append(Fault(path, "not_a_list", "A list is expected."))
        return []
    return [read_part(model, item, f"{path}.{place}", faults) for place, item in enumerate(documents)]
