"""`Record`: the base of what users call records. Everything on it is shared by all of them."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.expressions import RawSQL

from core.entities.kinds import MAX_TAG_LENGTH
from core.tenancy.fields import PersonField
from core.tenancy.models import CompanyIsolatedModel


class Record(CompanyIsolatedModel):
    """A business record: owned by a person, tagged, known to other systems by an external id, deleted into a bin.

    `tags` holds tag names; `crm.Tag` is their catalogue.
    """

    # Columns of JSON objects in which a change replaces the keys that it names and removes those it sets to null.
    merged_columns: ClassVar = frozenset({"custom_fields"})

    owner = PersonField(null=True, blank=True)
    tags = ArrayField(
        models.CharField(max_length=MAX_TAG_LENGTH),
        blank=True,
        default=list,
        db_default=RawSQL("'{}'::varchar[]", []),
    )
    external_source = models.CharField(max_length=64, blank=True, default="", db_default="")
    external_id = models.CharField(max_length=255, blank=True, default="", db_default="")
    # Values of the company's own fields, by key.
    custom_fields = models.JSONField(
        blank=True, default=dict, db_default=RawSQL("'{}'::jsonb", []), editable=False
    )
    deleted_at = models.DateTimeField(null=True, editable=False)
    deleted_by = PersonField(null=True, editable=False)

    class Meta(CompanyIsolatedModel.Meta):
        abstract = True
        # `%(class)s` keeps the names apart.
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["company", "external_source", "external_id"],
                name="%(class)s_external_unique",
                condition=~models.Q(external_id=""),
            ),
        ]
        indexes: ClassVar = [
            # Without the recycle bin: pages and counts of a list then need nothing but the index to find their rows.
            models.Index(
                fields=["company", "-created_at", "-id"],
                name="%(class)s_newest",
                condition=models.Q(deleted_at__isnull=True),
            ),
            # The recycle bin, next to nothing of the table.
            models.Index(
                fields=["company", "deleted_at"],
                name="%(class)s_bin",
                condition=models.Q(deleted_at__isnull=False),
            ),
            models.Index(fields=["company", "owner"], name="%(class)s_owner"),
        ]
