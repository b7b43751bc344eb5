"""Members of a company and people invited to it. The entity is `user`; ids are the people's, or the invitations'.

Rows are those of `Person`: email, first_name, last_name, role_id, manager_id (a person), is_active. A company governs role,
manager and whether somebody is active; everything else is the person's (see `invitations`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F

from core.changes import Outcome, Rows, WriteSpec, insert, update
from core.changes.facts import record_fact
from core.identity.models import Invitation, Membership, User
from core.identity.operations.guards import Candidate, Verdicts, begin_change_of_rights, read_rows, rows_of
from core.identity.operations.invitations import INVITATIONS
from core.identity.operations.passwords import hash_new_password, read_email
from core.identity.operations.proof import INVITATION_LIFETIME, send_links
from core.identity.operations.sessions import end_sessions_of_members
from core.identity.operations.team import Member, Team
from core.kernel.errors import Invalid
from core.kernel.transactions import savepoint
from core.tenancy.actors import Actor
from core.tenancy.context import current, system_context

_SPEC = WriteSpec(Membership)
_NAMES = ("first_name", "last_name")
_OF_USER = ("email", *_NAMES)
MAX_NAME = 150
_BEYOND = ("beyond_own_rights", "This is more than your own role allows.")
_LAST_ADMIN = "The company's last active admin stays one."


def create_users(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Invite people into the company: each gets a link, and is a member once they accept. Needs a transaction.

    Whether an address is known to the installation changes nothing here. Raises: Forbidden.
    """
    begin_change_of_rights(actor)
    team, candidates = Team(actor), read_rows(rows)
    verdicts = Verdicts(candidates, all_or_none)
    emails = _read_new_people(candidates, team, verdicts)
    for item in candidates:
        if item.values.get("is_active") is False:
            verdicts.refuse(item, "is_active", "not_accepted", "People are active once they accept.")
    accepted = verdicts.accepted
    invitations = [
        {
            "id": item.id,
            "email": emails[item.ord],
            **_names(item.values),
            "role": item.values["role_id"],
            "manager": _membership_of(team, item.values.get("manager_id")),
            "expires_at": now + INVITATION_LIFETIME,
        }
        for item in accepted
    ]
    written = insert(
        INVITATIONS, Rows.of(Invitation, invitations), actor=actor, now=now, all_or_none=all_or_none
    )
    outcome = verdicts.outcome(written, accepted)
    send_links("invitation", list(outcome.ids.values()), now)
    return outcome


def create_members(*, actor: Actor, rows: Rows, passwords: Mapping[int, str], now: datetime) -> Outcome:
    """Add people with the passwords (by place) that the operator of the installation chose for them, all or none.

    For commands on the server (demo companies, benchmarks): nobody is asked, so only for addresses that are nobody's. Needs
    a transaction. Raises: Forbidden.
    """
    begin_change_of_rights(actor)
    team, candidates = Team(actor), read_rows(rows)
    verdicts = Verdicts(candidates, all_or_none=True)
    emails = _read_new_people(candidates, team, verdicts)
    with system_context("adding people", source=current().source):
        known = set(User.objects.filter(email__in=emails.values()).values_list("email", flat=True))
    people: list[User] = []
    for item in candidates:
        email = emails.get(item.ord, "")
        if email in known:
            verdicts.refuse(item, "email", "taken", "This address is known already; invite it.")
        user = User(id=item.id, email=email, created_at=now, **_names(item.values))
        try:
            user.password = hash_new_password(passwords[item.ord], user)
        except Invalid as error:
            verdicts.faults.setdefault(item.ord, []).extend(error.faults)
        people.append(user)
    accepted = verdicts.accepted
    if accepted:
        with system_context("adding people", source=current().source):
            User.objects.bulk_create(people)
    members = [
        {
            "user": item.id,
            "role": item.values["role_id"],
            "manager": _membership_of(team, item.values.get("manager_id")),
            "is_active": True,
        }
        for item in accepted
    ]
    written = insert(_SPEC, Rows.of(Membership, members), actor=actor, now=now)
    return verdicts.outcome(written, accepted, {item.ord: item.id for item in accepted})


def _read_new_people(candidates: list[Candidate], team: Team, verdicts: Verdicts) -> dict[int, str]:
    """Their addresses, by place; refuses what cannot be, and who is here already."""
    emails: dict[int, str] = {}
    for item in candidates:
        try:
            emails[item.ord] = read_email(item.values.get("email") or "")
        except Invalid as error:
            verdicts.faults.setdefault(item.ord, []).extend(error.faults)
        _check_names(item, verdicts)
        _check_role(item, team, verdicts, is_needed=True)
        _check_manager(item, team, verdicts)
    _check_addresses(candidates, emails, team, verdicts)
    return emails


def _check_addresses(
    candidates: list[Candidate], emails: Mapping[int, str], team: Team, verdicts: Verdicts
) -> None:
    """Refuse addresses that are a member's, are invited, or come twice. Only this company is asked."""
    seen: set[str] = set()
    for item in candidates:
        email = emails.get(item.ord)
        if email is None:
            continue
        if email in seen:
            verdicts.refuse(item, "email", "taken", "Another row has this email address.")
        elif email in team.emails:
            verdicts.refuse(item, "email", "taken", "This person is a member already.")
        elif email in team.invited_emails:
            verdicts.refuse(item, "email", "taken", "This address has been invited already.")
        seen.add(email)


def _names(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: values.get(name) or "" for name in _NAMES}


def _membership_of(team: Team, user_id: UUID | None) -> UUID | None:
    return team.members[user_id].membership_id if user_id else None


def _check_names(item: Candidate, verdicts: Verdicts) -> None:
    for name in ("first_name", "last_name"):
        value = item.values.get(name)
        if value and len(value) > MAX_NAME:
            verdicts.refuse(item, name, "too_long", f"At most {MAX_NAME} characters are allowed.")


def _check_role(item: Candidate, team: Team, verdicts: Verdicts, *, is_needed: bool = False) -> None:
    role_id = item.values.get("role_id")
    if role_id is None:
        if is_needed or "role_id" in item.values:
            verdicts.refuse(item, "role", "required", "A member has a role.")
    elif role_id not in team.roles:
        verdicts.refuse(item, "role", "does_not_exist", "There is no such record.")
    elif not team.may_give(role_id):
        verdicts.refuse(item, "role", *_BEYOND)


def _check_manager(item: Candidate, team: Team, verdicts: Verdicts) -> None:
    manager_id = item.values.get("manager_id")
    if manager_id is None:
        return
    manager = team.members.get(manager_id)
    if manager is None or not manager.is_active:
        verdicts.refuse(item, "manager", "does_not_exist", "There is no such record.")
    elif item.id in team.members and team.is_below(manager_id, item.id):
        verdicts.refuse(item, "manager", "circle", "Nobody can be below themselves.")


def update_users(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change members and people invited: names, role, manager, whether a member is active. Needs a transaction.

    Names belong to the person; a company may change them while it is their only one. An address may be corrected until the
    invitation is accepted, and is mailed a new link; a member's is theirs. Whoever loses their place is signed out at once.
    Raises: Forbidden.
    """
    begin_change_of_rights(actor)
    return _change(actor, Team(actor), read_rows(rows), now, all_or_none)


def deactivate_users(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Take people's place in the company away; what they own and did stays. Invitations are revoked.

    Needs a transaction. Raises: Forbidden.
    """
    begin_change_of_rights(actor)
    candidates = [
        Candidate(item.ord, item.id, item.expected_version, {"is_active": False}) for item in read_rows(rows)
    ]
    return _change(actor, Team(actor), candidates, now, all_or_none, is_removal=True)


class _Undone(Exception):
    """One of two writes was refused, so that neither is to be."""


def _change(
    actor: Actor,
    team: Team,
    candidates: list[Candidate],
    now: datetime,
    all_or_none: bool,
    *,
    is_removal: bool = False,
) -> Outcome:
    verdicts = Verdicts(candidates, all_or_none)
    known = [item for item in candidates if item.id in team.members]
    elsewhere = people_elsewhere(actor, [item.id for item in known])
    people = {user.pk: user for user in User.objects.filter(pk__in=[item.id for item in known])}
    for item in candidates:
        member, invitation = team.members.get(item.id), team.invitations.get(item.id)
        if member is None and invitation is None:
            verdicts.refuse(item, "id", "not_found", "There is no such record.")
            continue
        if not team.may_give(member.role_id if member else invitation.role_id):  # type: ignore[union-attr]
            verdicts.refuse(item, "role", *_BEYOND)
        _check_names(item, verdicts)
        _check_role(item, team, verdicts)
        _check_manager(item, team, verdicts)
        if member is not None:
            _check_own_data(item, people[item.id], elsewhere, verdicts)
            _keep_an_admin(item, member, team, verdicts)
    _check_invited(candidates, team, verdicts)
    accepted = verdicts.accepted
    written = _write(
        [(item, _as_membership(item, team)) for item in accepted if item.id in team.members],
        [
            (item, _as_invitation(item, team, now, is_removal))
            for item in accepted
            if item.id in team.invitations
        ],
        actor,
        now,
        all_or_none,
    )
    outcome = verdicts.outcome(
        _by_place(written, accepted), accepted, {item.ord: item.id for item in accepted}
    )
    done = [item for item in accepted if item.ord in outcome.ids]
    send_links("invitation", [item.id for item in done if _is_readdressed(item, team)], now)
    members = [item for item in done if item.id in team.members]
    outcome = _change_people(members, people, outcome, actor, now)
    gone = [item.id for item in members if item.values.get("is_active") is False]
    if gone:
        end_sessions_of_members(actor, gone, now, "deactivated")
    return outcome


_Pairs = list[tuple[Candidate, Candidate]]


def _write(
    members: _Pairs, invitations: _Pairs, actor: Actor, now: datetime, all_or_none: bool
) -> dict[int, tuple[Outcome, int]]:
    """Write both kinds; by the candidate's place, the outcome it is in and its place there."""
    found: dict[int, tuple[Outcome, int]] = {}
    outcomes = []
    try:
        with savepoint():
            for spec, model, pairs in ((_SPEC, Membership, members), (INVITATIONS, Invitation, invitations)):
                if pairs:
                    made = rows_of(model, [row for _, row in pairs])
                    outcomes.append(update(spec, made, actor=actor, now=now, all_or_none=all_or_none))
                    found |= {item.ord: (outcomes[-1], place) for place, (item, _) in enumerate(pairs)}
            if all_or_none and any(outcome.refused for outcome in outcomes):
                raise _Undone
    except _Undone:
        pass
    return found


def _by_place(written: Mapping[int, tuple[Outcome, int]], accepted: list[Candidate]) -> Outcome:
    """One outcome of what was written in two, by the places of `accepted`."""
    made = Outcome({}, {}, {})
    unchanged = set()
    for place, item in enumerate(accepted):
        outcome, there = written[item.ord]
        if there in outcome.ids:
            made.ids[place], made.versions[place] = outcome.ids[there], outcome.versions[there]
        if there in outcome.refused:
            made.refused[place] = outcome.refused[there]
        if there in outcome.unchanged:
            unchanged.add(place)
    made.unchanged = frozenset(unchanged)
    return made


def _check_invited(candidates: list[Candidate], team: Team, verdicts: Verdicts) -> None:
    corrected: dict[int, str] = {}
    for item in candidates:
        invitation = team.invitations.get(item.id)
        if invitation is None:
            continue
        if item.values.get("is_active"):
            verdicts.refuse(item, "is_active", "not_accepted", "People are active once they accept.")
        if "email" in item.values:
            try:
                item.values["email"] = read_email(item.values["email"] or "")
            except Invalid as error:
                verdicts.faults.setdefault(item.ord, []).extend(error.faults)
                continue
            if item.values["email"] != invitation.email:
                corrected[item.ord] = item.values["email"]
    _check_addresses(candidates, corrected, team, verdicts)


def _is_readdressed(item: Candidate, team: Team) -> bool:
    invitation = team.invitations.get(item.id)
    return invitation is not None and item.values.get("email", invitation.email) != invitation.email


def _as_invitation(item: Candidate, team: Team, now: datetime, is_removal: bool) -> Candidate:
    if is_removal:
        values: dict[str, Any] = {"state": Invitation.State.REVOKED.value}
    else:
        values = {name: item.values[name] or "" for name in _OF_USER if name in item.values}
        if "role_id" in item.values:
            values["role_id"] = item.values["role_id"]
        if "manager_id" in item.values:
            values["manager_id"] = _membership_of(team, item.values["manager_id"])
        if _is_readdressed(item, team):
            # The link that went to the wrong address ends at once.
            values |= {"expires_at": now + INVITATION_LIFETIME, "token_digest": None, "sent_at": None}
    return Candidate(item.ord, item.id, item.expected_version, values)


def _as_membership(item: Candidate, team: Team) -> Candidate:
    values: dict[str, Any] = {
        name: item.values[name] for name in ("role_id", "is_active") if name in item.values
    }
    if values.get("is_active", True) is None:
        del values["is_active"]
    if "manager_id" in item.values:
        values["manager_id"] = _membership_of(team, item.values["manager_id"])
    return Candidate(item.ord, team.members[item.id].membership_id, item.expected_version, values)


def _keep_an_admin(item: Candidate, member: Member, team: Team, verdicts: Verdicts) -> None:
    """Refuse what would leave the company without an admin; else let the following rows see this one's effect."""
    if verdicts.is_refused(item):
        return
    after = Member(
        member.membership_id,
        member.user_id,
        item.values.get("role_id") or member.role_id,
        member.manager_id,
        item.values.get("is_active") is not False if "is_active" in item.values else member.is_active,
    )
    if team.is_admin(member) and not team.is_admin(after) and not team.has_admin_besides(member.user_id):
        verdicts.refuse(item, "role" if after.is_active else "is_active", "last_admin", _LAST_ADMIN)
        return
    if "manager_id" in item.values:
        after.manager_id = _membership_of(team, item.values["manager_id"])
    team.members[item.id] = after


def people_elsewhere(actor: Actor, user_ids: list[UUID]) -> set[UUID]:
    """Those of the people who belong to other companies too, or run the installation."""
    with system_context("finding people of several companies", source="api"):
        others = Membership.objects.filter(user_id__in=user_ids).exclude(company_id=actor.company_id)
        staff = User.objects.filter(pk__in=user_ids, is_platform_staff=True)
        return {*others.values_list("user_id", flat=True), *staff.values_list("pk", flat=True)}


def _check_own_data(item: Candidate, user: User, elsewhere: set[UUID], verdicts: Verdicts) -> None:
    if "email" in item.values:
        try:
            item.values["email"] = read_email(item.values["email"] or "")
        except Invalid as error:
            verdicts.faults.setdefault(item.ord, []).extend(error.faults)
            return
    for name in _OF_USER:
        # Nobody has proven a new address yet, so that nobody may give one to somebody else.
        is_theirs = name == "email" or item.id in elsewhere
        if is_theirs and name in item.values and (item.values[name] or "") != getattr(user, name):
            verdicts.refuse(item, name, "not_editable", "Only the person themselves can change this.")


def _change_people(
    done: list[Candidate], people: Mapping[UUID, User], outcome: Outcome, actor: Actor, now: datetime
) -> Outcome:
    """Write names; the member's version grows for them too."""
    changed: dict[int, User] = {}
    for item in done:
        user = people[item.id]
        wanted = {name: item.values[name] or "" for name in _NAMES if name in item.values}
        old = {name: getattr(user, name) for name, value in wanted.items() if getattr(user, name) != value}
        if old:
            for name in old:
                setattr(user, name, wanted[name])
            record_fact(
                action="update",
                entity_type="user",
                entity_id=user.pk,
                details={"old": old, "new": {name: wanted[name] for name in old}},
            )
            changed[item.ord] = user
    if not changed:
        return outcome
    User.objects.bulk_update(changed.values(), list(_NAMES))
    alone = [place for place in changed if place in outcome.unchanged]
    Membership.objects.filter(user_id__in=[outcome.ids[place] for place in alone]).update(
        version=F("version") + 1, updated_at=now, updated_by=actor.user_id
    )
    versions = {place: version + (place in alone) for place, version in outcome.versions.items()}
    return Outcome(outcome.ids, versions, outcome.refused, outcome.unchanged - set(alone))
