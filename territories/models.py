"""The tree of territories, who works in them, the rules that fill them, and the history of what went where.

A territory's path and level are kept by the database (`0002_tree`): triggers set them in the transaction of any write, for
the row and for all below it. Nobody else writes them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import connection, models
from django.db.models.functions import Lower

from core.entities.models import Record
from core.tenancy.fields import PersonField, TenantForeignKey
from core.tenancy.models import CompanyIsolatedModel


class TerritoryType(models.TextChoices):
    GEOGRAPHIC = "geographic", "Geographic"
    INDUSTRY = "industry", "Industry"
    ACCOUNT_SIZE = "account_size", "Account size"
    PRODUCT = "product", "Product"
    NAMED_ACCOUNTS = "named_accounts", "Named accounts"
    CUSTOM = "custom", "Custom"


class MemberRole(models.TextChoices):
    OWNER = "owner", "Owner"
    MEMBER = "member", "Member"
    VIEWER = "viewer", "Viewer"


class OwnerChoice(models.TextChoices):
    KEEP = "keep", "Leave the owner"
    MANAGER = "manager", "The territory's manager"
    ROUND_ROBIN = "round_robin", "The members in turn"
    LEAST_LOADED = "least_loaded", "The member with the fewest open records"


class AssignmentReason(models.TextChoices):
    RULE = "rule", "A rule"
    MANUAL = "manual", "By hand"
    REASSIGNMENT = "reassignment", "Reassignment"
    REPARENTING = "reparenting", "Its territory was removed"


_ENDS_AFTER_START = (
    models.Q(effective_from__isnull=True)
    | models.Q(effective_to__isnull=True)
    | models.Q(effective_to__gte=models.F("effective_from"))
)


def _ends_after_start(table: str) -> models.CheckConstraint:
    return models.CheckConstraint(
        name=f"{table}_ends_after_start",
        condition=_ENDS_AFTER_START,
        violation_error_code="ends_before_start",
        violation_error_message="The end lies before the start.",
    )


class Territory(CompanyIsolatedModel):
    """A part of the market. Who works in it sees its records; the flags share them further up and down the tree."""

    name = models.CharField(max_length=200)
    code = models.CharField(max_length=64)
    type = models.CharField(
        max_length=24,
        choices=TerritoryType,
        default=TerritoryType.GEOGRAPHIC,
        db_default=TerritoryType.GEOGRAPHIC,
    )
    parent_territory = TenantForeignKey("self", null=True, blank=True, related_name="children")
    # Its word in paths: from the name, where it is not given; unique among its siblings.
    slug = models.CharField(max_length=300, blank=True, default="", db_default="")
    hierarchy_level = models.IntegerField(editable=False, default=0, db_default=0)
    hierarchy_path = models.TextField(editable=False, default="", db_default="")
    share_with_parent = models.BooleanField(default=False, db_default=False)
    share_with_children = models.BooleanField(default=False, db_default=False)
    recursive_sharing = models.BooleanField(default=False, db_default=False)
    rollup_metrics = models.BooleanField(default=True, db_default=True)
    manager = PersonField(null=True, blank=True)
    description = models.TextField(blank=True, default="", db_default="")
    is_active = models.BooleanField(default=True, db_default=True)
    effective_from = models.DateField(null=True, blank=True)
    effective_to = models.DateField(null=True, blank=True)

    # Derived from the parent; a move of a thousand territories is one decision.
    unlogged_columns = CompanyIsolatedModel.unlogged_columns | {"hierarchy_level", "hierarchy_path"}

    class Meta(CompanyIsolatedModel.Meta):
        verbose_name_plural = "territories"
        constraints: ClassVar = [
            models.CheckConstraint(name="territory_named", condition=~models.Q(name="")),
            models.CheckConstraint(name="territory_coded", condition=~models.Q(code="")),
            models.UniqueConstraint("company", Lower("code"), name="territory_code_unique"),
            # Blank ones get theirs when they are written.
            models.UniqueConstraint(
                fields=["company", "parent_territory", "slug"],
                name="territory_slug_unique",
                condition=~models.Q(slug=""),
                nulls_distinct=False,
                violation_error_code="taken",
                violation_error_message="Another territory with this parent has this slug already.",
            ),
            models.CheckConstraint(
                name="territory_not_own_parent",
                condition=models.Q(parent_territory__isnull=True)
                | ~models.Q(parent_territory=models.F("id")),
                violation_error_code="cycle",
                violation_error_message="A territory cannot be above itself.",
            ),
            _ends_after_start("territory"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["company", "parent_territory"], name="territory_parent"),
            # Everything below a path.
            models.Index(
                fields=["company", "hierarchy_path"],
                name="territory_path",
                opclasses=["uuid_ops", "text_pattern_ops"],
            ),
            models.Index(fields=["company", "manager"], name="territory_manager"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_all_children(self, include_self: bool = False) -> models.QuerySet[Any]:
        """Every territory below, at any depth; a parent comes before its children. One statement."""
        below = Territory.objects.filter(hierarchy_path__startswith=self.hierarchy_path)
        found = below if include_self else below.exclude(pk=self.pk)
        return found.order_by("hierarchy_path")

    def get_all_parents(self, include_self: bool = False) -> models.QuerySet[Any]:
        """The territories above, from the root down. One statement."""
        words = self.hierarchy_path.strip("/").split("/")
        last = len(words) + (1 if include_self else 0)
        paths = ["/" + "/".join(words[:end]) + "/" for end in range(1, last)]
        return Territory.objects.filter(hierarchy_path__in=paths).order_by("hierarchy_level")

    def update_hierarchy_path(self) -> str:
        """Compute path and level of this territory and all below it anew, from the parents; the path. One statement.

        The database keeps them by itself; this mends what was loaded around its triggers. Needs a transaction.
        """
        with connection.cursor() as cursor:
            cursor.execute("SELECT territories_rebuild(%s, %s)", [self.company_id, self.pk])
            self.hierarchy_path = str(cursor.fetchone()[0])
        self.hierarchy_level = self.hierarchy_path.count("/") - 2
        return self.hierarchy_path


class TerritoryMember(CompanyIsolatedModel):
    """Somebody who works in a territory. A viewer only reads its records."""

    territory = TenantForeignKey(Territory, models.CASCADE, related_name="members")
    user = PersonField()
    role = models.CharField(
        max_length=16, choices=MemberRole, default=MemberRole.MEMBER, db_default=MemberRole.MEMBER
    )
    effective_from = models.DateField(null=True, blank=True)
    effective_to = models.DateField(null=True, blank=True)
    # How many records rules have given this member in turn.
    assigned_count = models.IntegerField(editable=False, default=0, db_default=0)

    unlogged_columns = CompanyIsolatedModel.unlogged_columns | {"assigned_count"}

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["company", "territory", "user"],
                name="territorymember_unique",
                violation_error_code="taken",
                violation_error_message="This person is a member of the territory already.",
            ),
            _ends_after_start("territorymember"),
        ]
        indexes: ClassVar = [models.Index(fields=["company", "user"], name="territorymember_user")]

    def __str__(self) -> str:
        return f"{self.role} {self.user_id}"


class TerritoryRule(CompanyIsolatedModel):
    """Which records belong to a territory: the first rule that fits, by priority, then by depth, decides."""

    territory = TenantForeignKey(Territory, models.CASCADE, related_name="rules")
    name = models.CharField(max_length=200)
    entity_type = models.CharField(max_length=64)
    # The lower comes first.
    priority = models.IntegerField(default=100, db_default=100)
    # A condition of the condition language.
    condition = models.JSONField()
    owner_choice = models.CharField(
        max_length=16, choices=OwnerChoice, default=OwnerChoice.KEEP, db_default=OwnerChoice.KEEP
    )
    is_active = models.BooleanField(default=True, db_default=True)

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="territoryrule_named", condition=~models.Q(name="")),
        ]
        indexes: ClassVar = [
            models.Index(fields=["company", "entity_type", "priority"], name="territoryrule_order"),
            models.Index(fields=["company", "territory"], name="territoryrule_territory"),
        ]

    def __str__(self) -> str:
        return self.name


class TerritoryAssignment(CompanyIsolatedModel):
    """A record came into a territory, or left one for none."""

    updated_at = None  # type: ignore[assignment]
    updated_by = None
    version = None  # type: ignore[assignment]

    entity_type = models.CharField(max_length=64)
    record_id = models.UUIDField()
    # Plain ids: the history outlives territories and rules.
    territory_id = models.UUIDField(null=True)
    previous_territory_id = models.UUIDField(null=True)
    rule_id = models.UUIDField(null=True)
    owner = PersonField(null=True, blank=True)
    reason = models.CharField(max_length=16, choices=AssignmentReason)

    # A history itself: the record's own change is in the log.
    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        indexes: ClassVar = [
            models.Index(fields=["company", "record_id", "-id"], name="territoryassignment_record"),
            models.Index(fields=["company", "territory_id", "-id"], name="territoryassignment_territory"),
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.record_id}"


class TerritoryScoped(Record):
    """A record that belongs to a territory."""

    territory = TenantForeignKey(Territory, null=True, blank=True, related_name="+")
    # Rules leave it where it is. Set by hand, a territory is pinned unless the writer says otherwise.
    territory_pinned = models.BooleanField(default=False, db_default=False)

    class Meta(Record.Meta):
        abstract = True
        indexes: ClassVar = [
            *Record.Meta.indexes,
            models.Index(
                fields=["company", "territory"],
                name="%(class)s_territory",
                condition=models.Q(territory__isnull=False),
            ),
        ]
