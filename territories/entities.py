"""What the registry knows of territories, and the facts of records that belong to one."""

from __future__ import annotations

from typing import Any

from core.entities import Entity, Nested, Writes, fact, register
from core.entities.kinds import Kind
from territories import operations
from territories.rights import MANAGE_TERRITORIES

# Declared by each entity whose model is a `TerritoryScoped`, before `RECORD_FACTS`.
TERRITORY_FACTS = (
    fact("territory", meaning="territory"),
    fact(
        "territory_pinned",
        description="Rules leave the territory as it is. Setting a territory by hand pins it, unless this is sent too.",
    ),
)

TERRITORY = register(
    Entity(
        name="territory",
        plural="territories",
        model_label="territories.Territory",
        description="Parts of the market, as a tree. Who works in one sees its records.",
        facts=(
            fact("name", key=True, meaning="name", search="A"),
            fact("code", key=True, search="A", description="Unique in the company."),
            fact("type"),
            fact("parent_territory", label="Parent"),
            fact(
                "slug",
                description="The word of this territory in paths; from the name, where it is not given.",
            ),
            fact("hierarchy_level", read_only=True, description="0 for a root."),
            fact(
                "hierarchy_path",
                kind=Kind.TEXT,
                read_only=True,
                description="The slugs from the root down, such as `/emea/france/`.",
            ),
            fact("share_with_parent", description="Members of the parent read the records."),
            fact(
                "share_with_children", description="Members of the territories right below read the records."
            ),
            fact("recursive_sharing", description="Members of every territory below read the records."),
            fact(
                "rollup_metrics", description="Its figures, and those of all below it, count for its parents."
            ),
            fact("manager", description="Sees and writes the records like an owner."),
            fact("description", search="D"),
            fact(
                "is_active", description="An inactive territory shares nothing and takes no records by rule."
            ),
            fact("effective_from"),
            fact("effective_to"),
        ),
        title=("name",),
        nested=(Nested("parent_territory", "children"),),
        writes=Writes(
            create=operations.create_territories,
            update=operations.update_territories,
            delete=operations.delete_territories,
            judge=operations.judge_territories,
        ),
        ordering="hierarchy_path",
        guarded_by=MANAGE_TERRITORIES,
    )
)

TERRITORY_MEMBER = register(
    Entity(
        name="territory_member",
        plural="territory_members",
        model_label="territories.TerritoryMember",
        description="Who works in a territory.",
        nested=(Nested("territory", "members", with_records=True),),
        facts=(
            fact("territory"),
            fact("user", label="Person"),
            fact("role", description="A viewer only reads the territory's records."),
            fact("effective_from"),
            fact("effective_to"),
            fact(
                "assigned_count",
                read_only=True,
                description="How many records rules gave this member in turn.",
            ),
        ),
        title=("role",),
        writes=Writes(
            create=operations.MEMBERS.create,
            update=operations.MEMBERS.update,
            delete=operations.MEMBERS.delete,
            judge=operations.MEMBERS.judge,
        ),
        guarded_by=MANAGE_TERRITORIES,
    )
)

TERRITORY_RULE = register(
    Entity(
        name="territory_rule",
        plural="territory_rules",
        model_label="territories.TerritoryRule",
        description="Which records belong to a territory.",
        nested=(Nested("territory", "rules", with_records=True),),
        facts=(
            fact("territory"),
            fact("name", meaning="name", search="A"),
            fact("entity_type", description="The kind of records: account, contact, lead or deal."),
            fact("priority", description="The lower comes first; of equal ones, the deeper territory's."),
            fact("condition", json_type=dict[str, Any], description="A condition of the condition language."),
            fact("owner_choice", description="Who gets a record that comes into the territory by this rule."),
            fact("is_active"),
        ),
        writes=Writes(
            create=operations.create_rules,
            update=operations.update_rules,
            delete=operations.RULES.delete,
            check=operations.check_rule,
            judge=operations.RULES.judge,
        ),
        ordering="priority",
        guarded_by=MANAGE_TERRITORIES,
        read_guarded_by="",
    )
)
