"""Import templates: every write."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.changes import Outcome, Rows, WriteSpec, erase, insert, update
from core.entities import entities
from core.kernel.errors import Fault, Invalid
from core.tenancy.actors import Actor
from data_import.models import ImportTemplate
from data_import.operations.checked import check_settings
from data_import.schemas import SETTING_NAMES, read_settings

_SPEC = WriteSpec(ImportTemplate)
_REMOVAL = WriteSpec(
    ImportTemplate,
    also={
        "jobs": "UPDATE data_import_importjob j SET template_id = NULL FROM written w "
        "WHERE j.company_id = w.old_company_id AND j.template_id = w.old_id"
    },
)


def check_template(values: Mapping[str, Any]) -> None:
    """Raises: Invalid with every fault of the settings, or for an unknown entity."""
    read_settings({name: values[name] for name in SETTING_NAMES if values.get(name) is not None})
    if "entity_type" in values and entities.find(values["entity_type"]) is None:
        raise Invalid(faults=[Fault("entity_type", "not_a_choice", "There is no such entity.")])


def create_import_templates(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Keep settings under a name. Needs a transaction. Raises: Invalid for settings that cannot work."""
    check_settings(actor, ImportTemplate, rows)
    return insert(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)


def update_import_templates(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change templates; jobs keep the settings they were made with. Needs a transaction.

    Raises: Invalid for settings that cannot work.
    """
    check_settings(actor, ImportTemplate, rows)
    return update(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)


def delete_import_templates(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Remove templates; jobs keep the settings they were made with. Needs a transaction."""
    return erase(_REMOVAL, rows, actor=actor, now=now, all_or_none=all_or_none)
