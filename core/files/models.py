"""The table of stored files."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from core.tenancy.models import CompanyIsolatedModel


class StoredFile(CompanyIsolatedModel):
    """A private file. Its bytes never change; `storage_key` is where the storage keeps them."""

    kind = models.CharField(max_length=64)
    # As given, without what has no place in a header or on a disk.
    name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=127)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    storage_key = models.CharField(max_length=255)
    # The record that the file belongs to; empty for none.
    entity_type = models.CharField(max_length=64, blank=True, default="", db_default="")
    record_id = models.UUIDField(null=True)
    # Null: kept until it is deleted.
    expires_at = models.DateTimeField(null=True)
    download_count = models.IntegerField(default=0, db_default=0)
    # Links of an older version open nothing.
    link_version = models.IntegerField(default=1, db_default=1)

    unlogged_columns: ClassVar[frozenset[str]] = CompanyIsolatedModel.unlogged_columns | {"download_count"}

    class Meta(CompanyIsolatedModel.Meta):
        indexes: ClassVar = [
            models.Index(
                fields=["expires_at"],
                condition=models.Q(expires_at__isnull=False),
                name="storedfile_expiry",
            ),
            models.Index(
                fields=["company", "entity_type", "record_id"],
                condition=models.Q(record_id__isnull=False),
                name="storedfile_record",
            ),
        ]

    def __str__(self) -> str:
        return self.name
