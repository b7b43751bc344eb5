"""Roles of a company. Nobody gives or changes more than they have themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import ProtectedError, RestrictedError

from core.changes import Outcome, Rows, WriteSpec, insert, update
from core.identity.models import Membership, Role
from core.identity.operations.guards import Candidate, Verdicts, begin_change_of_rights, read_rows, rows_of
from core.identity.rights import EVERYTHING, is_permission, is_within
from core.kernel.transactions import savepoint
from core.tenancy.actors import Actor

_SPEC = WriteSpec(Role)
_BEYOND = ("beyond_own_rights", "This is more than your own role allows.")


def create_roles(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """New roles. Needs a transaction. Raises: Forbidden."""
    begin_change_of_rights(actor)
    candidates = read_rows(rows)
    verdicts = Verdicts(candidates, all_or_none)
    for item in candidates:
        _check_values(item, verdicts)
        _check_within(actor, item, _after({"permissions": [], "record_scope": "own"}, item), verdicts)
    accepted = verdicts.accepted
    written = insert(_SPEC, rows_of(Role, accepted), actor=actor, now=now, all_or_none=all_or_none)
    return verdicts.outcome(written, accepted)


def update_roles(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change roles, at once for everyone who has them. Needs a transaction. Raises: Forbidden."""
    begin_change_of_rights(actor)
    candidates = read_rows(rows)
    verdicts = Verdicts(candidates, all_or_none)
    roles = {
        role.pk: {"permissions": role.permissions, "record_scope": role.record_scope}
        for role in Role.objects.all()
    }
    admins = _active_members_by_admin_role()
    for item in candidates:
        _check_values(item, verdicts)
        before = roles.get(item.id)
        if before is None:
            verdicts.refuse(item, "id", "not_found", "There is no such record.")
            continue
        after = _after(before, item)
        if after != before:
            _check_within(actor, item, before, verdicts)
            _check_within(actor, item, after, verdicts)
        if verdicts.is_refused(item):
            continue
        if EVERYTHING in before["permissions"] and EVERYTHING not in after["permissions"]:
            if admins.get(item.id) and not any(count for role, count in admins.items() if role != item.id):
                verdicts.refuse(
                    item, "permissions", "last_admin", "The company's last active admin stays one."
                )
                continue
            admins.pop(item.id, None)
    accepted = verdicts.accepted
    written = update(_SPEC, rows_of(Role, accepted), actor=actor, now=now, all_or_none=all_or_none)
    return verdicts.outcome(written, accepted)


def delete_roles(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Remove roles that nobody has; built-in ones stay. Needs a transaction. Raises: Forbidden."""
    begin_change_of_rights(actor)
    candidates = read_rows(rows)
    verdicts = Verdicts(candidates, all_or_none)
    roles = {role.pk: role for role in Role.objects.filter(pk__in=[item.id for item in candidates])}
    used = set(Membership.objects.filter(role_id__in=roles).values_list("role_id", flat=True))
    for item in candidates:
        role = roles.get(item.id)
        if role is None:
            verdicts.refuse(item, "id", "not_found", "There is no such record.")
        elif item.expected_version is not None and item.expected_version != role.version:
            verdicts.refuse(item, "version", "stale", "The record has changed since you read it.")
        elif role.is_builtin:
            verdicts.refuse(item, "id", "builtin", "A built-in role can be edited but not removed.")
        elif item.id in used:
            verdicts.refuse(item, "id", "in_use", "Members have this role.")
        elif not is_within(actor.rights, role.permissions, role.record_scope):
            verdicts.refuse(item, "permissions", *_BEYOND)
        elif not all_or_none or not verdicts.faults:
            _delete(role, item, verdicts)
    accepted = verdicts.accepted
    gone = Outcome(
        {place: item.id for place, item in enumerate(accepted)},
        {place: roles[item.id].version for place, item in enumerate(accepted)},
        {},
    )
    return verdicts.outcome(gone, accepted)


def _delete(role: Role, item: Candidate, verdicts: Verdicts) -> None:
    try:
        with savepoint():
            role.delete()
    except (RestrictedError, ProtectedError):
        verdicts.refuse(item, "id", "in_use", "Something still refers to this role.")


def _after(before: dict[str, Any], item: Candidate) -> dict[str, Any]:
    given = {name: item.values[name] for name in before if item.values.get(name) is not None}
    return before | given


def _check_values(item: Candidate, verdicts: Verdicts) -> None:
    if "name" in item.values and not (item.values["name"] or "").strip():
        verdicts.refuse(item, "name", "required", "A role has a name.")
    for word in item.values.get("permissions") or ():
        if not is_permission(word):
            verdicts.refuse(item, "permissions", "not_a_permission", f"{word!r} is no permission.")


def _check_within(actor: Actor, item: Candidate, role: dict[str, Any], verdicts: Verdicts) -> None:
    if not is_within(actor.rights, role["permissions"], role["record_scope"]):
        verdicts.refuse(item, "permissions", *_BEYOND)


def _active_members_by_admin_role() -> dict[UUID, int]:
    counts: dict[UUID, int] = {}
    admins = Membership.objects.filter(
        is_active=True, user__is_active=True, role__permissions__contains=[EVERYTHING]
    )
    for role_id in admins.values_list("role_id", flat=True):
        counts[role_id] = counts.get(role_id, 0) + 1
    return counts
