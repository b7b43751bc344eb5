"""Reviews of entries."""

from __future__ import annotations

from datetime import datetime

from audit.models import AuditReview
from audit.queries import get_entry
from audit.rights import MANAGE_AUDIT
from core.changes import Rows, WriteSpec, insert
from core.kernel.errors import Conflict, Forbidden
from core.tenancy.actors import Actor

_SPEC = WriteSpec(AuditReview)


def require_manage(actor: Actor) -> None:
    """Raises: Forbidden unless the actor may manage audit."""
    if not actor.rights.can(MANAGE_AUDIT):
        raise Forbidden("Your role may not manage audit.")


def review_entry(*, actor: Actor, log_id: int | str, note: str, now: datetime) -> None:
    """Note that the actor has looked at an entry. Needs a transaction.

    Raises: Forbidden, NotFound, Conflict (`already_reviewed`): the first review stands.
    """
    require_manage(actor)
    entry = get_entry(actor, log_id)
    outcome = insert(_SPEC, Rows.of(AuditReview, [{"log_id": entry.pk, "note": note}]), actor=actor, now=now)
    if any(fault.code == "already_reviewed" for fault in outcome.refused.get(0, ())):
        raise Conflict("This entry was reviewed already.", code="already_reviewed")
    outcome.raise_if_refused()
