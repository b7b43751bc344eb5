"""Foreign keys that cannot cross a company's border.

The columns are plain in Django's eyes (`db_constraint=False`); `core.tenancy.guard` adds the composite keys
`(company_id, x_id) → (company_id, id)` in the database after every migration.
"""

from __future__ import annotations

from typing import Any

from django.db import models


class CompanyField(models.ForeignKey):
    """The company a row belongs to. A table that has one is a company's table: row-level security, change log, keys."""

    def __init__(self, to: Any = "core.Company", on_delete: Any = models.PROTECT, **kwargs: Any) -> None:
        kwargs.setdefault("related_name", "+")
        kwargs.setdefault("editable", False)
        kwargs.setdefault("db_index", False)
        super().__init__(to, on_delete, **kwargs)


class TenantForeignKey(models.ForeignKey):
    """A reference to a row of the same company."""

    def __init__(self, to: Any, on_delete: Any = models.RESTRICT, **kwargs: Any) -> None:
        kwargs["db_constraint"] = False
        kwargs.setdefault("db_index", False)
        super().__init__(to, on_delete, **kwargs)

    def deconstruct(self) -> tuple[str, str, Any, dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("db_constraint", None)
        return name, path, args, kwargs


class PersonField(models.ForeignKey):
    """A person of this company: references `(company_id, user_id)` of the memberships, so nobody else can be set."""

    def __init__(self, to: Any = "core.User", on_delete: Any = models.RESTRICT, **kwargs: Any) -> None:
        kwargs["db_constraint"] = False
        kwargs.setdefault("db_index", False)
        kwargs.setdefault("related_name", "+")
        super().__init__(to, on_delete, **kwargs)

    def deconstruct(self) -> tuple[str, str, Any, dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("db_constraint", None)
        return name, path, args, kwargs
