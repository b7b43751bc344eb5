"""Pipelines and their stages."""

from __future__ import annotations

from uuid import UUID

from core.entities import Entity, Nested, Writes, fact, register
from core.identity.rights import MANAGE_SETTINGS
from crm import operations

PIPELINE = register(
    Entity(
        name="pipeline",
        plural="pipelines",
        description="Ways of selling. A new pipeline comes with the default stages.",
        model_label="crm.Pipeline",
        facts=(
            fact("name", meaning="name", key=True),
            fact("code", key=True),
            fact("description"),
            fact("is_default"),
            fact("is_active"),
            fact("order"),
            fact("enforce_stage_order"),
            fact("allow_reopen"),
            fact("forecast_enabled"),
            fact("rotting_days"),
        ),
        writes=Writes(
            operations.create_pipelines,
            operations.update_pipelines,
            operations.delete_pipelines,
            judge=operations.judge_pipelines,
        ),
        ordering="order",
        guarded_by=MANAGE_SETTINGS,
    )
)


PIPELINE_STAGE = register(
    Entity(
        name="pipeline_stage",
        plural="pipeline_stages",
        description="Steps of pipelines.",
        nested=(Nested("pipeline", "stages"),),
        put_keeps=frozenset({"required_fields", "allowed_next"}),
        model_label="crm.PipelineStage",
        facts=(
            fact("pipeline"),
            fact("name", meaning="name", key=True),
            fact("code", key=True),
            fact("order"),
            fact("stage_type"),
            fact("probability"),
            fact("forecast_category"),
            fact("rotting_days", description="Days after which a deal in this stage counts as stale."),
            fact(
                "required_fields", json_type=list[str], description="Deal fields that must be set to enter."
            ),
            fact(
                "allowed_next",
                json_type=list[UUID],
                description="Ids of the stages of the same pipeline that a deal may go to from here; empty: any.",
            ),
            fact("color"),
            fact("is_active"),
            fact("description"),
        ),
        writes=Writes(
            operations.create_pipeline_stages,
            operations.update_pipeline_stages,
            operations.delete_pipeline_stages,
            judge=operations.judge_pipeline_stages,
        ),
        ordering="order",
        guarded_by=MANAGE_SETTINGS,
    )
)
