"""Links as the mails carry them."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from core.identity.models import Invitation, Registration
from core.identity.operations.proof import issue_link
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context


def link_of(model: type[Invitation] | type[Registration], *, is_mailed: bool = True, **facts: Any) -> str:
    """The token of a new link of the row with these facts; earlier ones end."""
    with system_context("a link for a test"), unit_of_work():
        return issue_link(model.objects.get(**facts), is_mailed=is_mailed, now=timezone.now())
