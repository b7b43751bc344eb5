"""Facts of import templates and jobs."""

from __future__ import annotations

from typing import Any

from core.entities import Entity, Writes, fact, register
from data_import.operations import jobs, templates
from data_import.schemas import Options, ValidationRule

_SETTINGS = (
    fact("mode"),
    fact("match_on"),
    fact("field_mapping", json_type=dict[str, str | list[str]]),
    fact("transformation_rules", json_type=list[dict[str, Any]]),
    fact("validation_rules", json_type=list[ValidationRule]),
    fact("required_fields", json_type=list[str]),
    fact("options", json_type=Options),
)

IMPORT_TEMPLATE = register(
    Entity(
        name="import_template",
        plural="import_templates",
        served_at="data-import/templates",
        description="Settings of imports, kept under a name.",
        model_label="data_import.ImportTemplate",
        facts=(
            fact("name", key=True, meaning="name", search="A"),
            fact("description"),
            fact("entity_type"),
            fact("file_format"),
            *_SETTINGS,
        ),
        writes=Writes(
            create=templates.create_import_templates,
            update=templates.update_import_templates,
            delete=templates.delete_import_templates,
            check=templates.check_template,
        ),
        ordering="name",
    )
)

IMPORT_JOB = register(
    Entity(
        name="import_job",
        plural="import_jobs",
        served_at="data-import/jobs",
        description="Imports: upload a file, look at what it is, plan, start, watch, and see what failed and why.",
        model_label="data_import.ImportJob",
        facts=(
            fact("owner", meaning="owner", read_only=True),
            fact("template", read_only=True),
            fact("entity_type", read_only=True),
            fact("file_format", read_only=True),
            *_SETTINGS,
            fact("file_name", meaning="name", read_only=True),
            fact("file_id", read_only=True, dimension=False),
            fact("file_sha256", read_only=True, dimension=False),
            fact("file_size", read_only=True),
            fact("status", meaning="status", read_only=True),
            fact("detected", read_only=True),
            fact("decisions", read_only=True),
            fact("total_count", read_only=True),
            fact("valid_count", read_only=True),
            fact("invalid_count", read_only=True),
            fact("skipped_count", read_only=True),
            fact("created_count", read_only=True),
            fact("updated_count", read_only=True),
            fact("failed_count", read_only=True),
            fact("plan_digest", read_only=True, dimension=False),
            fact("is_dry_run", read_only=True),
            fact("started_at", read_only=True),
            fact("finished_at", read_only=True),
            fact("error", read_only=True),
        ),
        internal=frozenset({"staged_bytes"}),
        writes=Writes(update=jobs.update_import_jobs),
        title=("file_name",),
    )
)
