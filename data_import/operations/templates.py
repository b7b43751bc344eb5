"""Import templates: every write."""

from __future__ import annotations

from datetime import datetime

from core.changes import Outcome, Rows, WriteSpec, erase, insert, update
from core.tenancy.actors import Actor
from data_import.models import ImportTemplate

_SPEC = WriteSpec(ImportTemplate)
_REMOVAL = WriteSpec(
    ImportTemplate,
    also={
        "jobs": "UPDATE data_import_importjob j SET template_id = NULL FROM written w "
        "WHERE j.company_id = w.old_company_id AND j.template_id = w.old_id"
    },
)


def create_import_templates(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Keep settings under a name. Needs a transaction. Callers check their content (`schemas.read_settings`)."""
    return insert(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)


def update_import_templates(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change templates; jobs keep the settings they were made with. Needs a transaction."""
    return update(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)


def delete_import_templates(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Remove templates; jobs keep the settings they were made with. Needs a transaction."""
    return erase(_REMOVAL, rows, actor=actor, now=now, all_or_none=all_or_none)
