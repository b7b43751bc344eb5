"""Members of a company: people with a role. The entity is `user`; ids are the people's.

Rows are those of `Person`: email, first_name, last_name, role_id, manager_id (a person), is_active, and `password` when a
caller gives one (it is no column).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F

from core.changes import Outcome, Rows, WriteSpec, insert, update
from core.changes.facts import record_fact
from core.identity.models import Membership, Person, Role, User
from core.identity.operations.guards import Candidate, Verdicts, begin_change_of_rights, read_rows, rows_of
from core.identity.operations.passwords import hash_new_password, read_email
from core.identity.operations.sessions import end_sessions_of_members
from core.identity.rights import EVERYTHING, is_within
from core.kernel.errors import Fault, Invalid, NotFound
from core.kernel.transactions import needs_transaction
from core.tenancy.actors import Actor
from core.tenancy.context import system_context

_SPEC = WriteSpec(Membership)
_OF_USER = ("email", "first_name", "last_name")
MAX_NAME = 150
_BEYOND = ("beyond_own_rights", "This is more than your own role allows.")
_LAST_ADMIN = "The company's last active admin stays one."


@dataclass(slots=True)
class _Member:
    """A member as of now, and as it will be after the rows before."""

    membership_id: UUID
    user_id: UUID
    role_id: UUID
    manager_id: UUID | None
    is_active: bool


class _Team:
    """The company's roles and members while its rights are locked."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.roles: dict[UUID, Role] = {role.pk: role for role in Role.objects.all()}
        # Whether the person's account lives is beyond the company's power.
        self.members = {
            row.user_id: _Member(row.pk, row.user_id, row.role_id, row.manager_id, row.is_active)
            for row in Membership.objects.select_related("user")
        }
        self.user_by_membership = {item.membership_id: item.user_id for item in self.members.values()}
        self._living = set(Membership.objects.filter(user__is_active=True).values_list("user_id", flat=True))

    def may_give(self, role_id: UUID) -> bool:
        role = self.roles[role_id]
        return is_within(self.actor.rights, role.permissions, role.record_scope)

    def is_admin(self, member: _Member) -> bool:
        return (
            member.is_active
            and member.user_id in self._living
            and EVERYTHING in self.roles[member.role_id].permissions
        )

    def has_admin_besides(self, user_id: UUID) -> bool:
        return any(self.is_admin(item) for item in self.members.values() if item.user_id != user_id)

    def is_below(self, manager_id: UUID, user_id: UUID) -> bool:
        """Whether the manager reports, over however many steps, to the person."""
        seen: set[UUID] = set()
        at: UUID | None = manager_id
        while at is not None and at not in seen:
            if at == user_id:
                return True
            seen.add(at)
            above = self.members[at].manager_id
            at = self.user_by_membership.get(above) if above else None
        return False


def create_users(
    *,
    actor: Actor,
    rows: Rows,
    now: datetime,
    all_or_none: bool = True,
    passwords: Mapping[int, str] | None = None,
) -> Outcome:
    """Bring people into the company: known ones by their e-mail address, others anew. Needs a transaction.

    A known person keeps name and password. A new one can sign in only after a password was set (`passwords`, by place).
    Raises: Forbidden.
    """
    begin_change_of_rights(actor)
    team, candidates = _Team(actor), read_rows(rows)
    verdicts = Verdicts(candidates, all_or_none)
    emails: dict[int, str] = {}
    hashes: dict[int, str] = {}
    for item in candidates:
        try:
            emails[item.ord] = email = read_email(item.values.get("email") or "")
            if list(emails.values()).count(email) > 1:
                verdicts.refuse(item, "email", "taken", "Another row has this e-mail address.")
            if passwords and item.ord in passwords:
                person = User(email=email, **_names(item.values))
                hashes[item.ord] = hash_new_password(passwords[item.ord], person)
        except Invalid as error:
            verdicts.faults.setdefault(item.ord, []).extend(error.faults)
        _check_names(item, verdicts)
        _check_role(item, team, verdicts, is_needed=True)
        _check_manager(item, team, verdicts)
    known = _known_people(emails.values())
    for item in candidates:
        if emails.get(item.ord) in known and known[emails[item.ord]] in team.members:
            verdicts.refuse(item, "email", "taken", "This person is a member already.")
    accepted = verdicts.accepted
    people = {
        item.ord: known.get(emails[item.ord])
        or _new_person(item, emails[item.ord], hashes.get(item.ord), now)
        for item in accepted
    }
    _insert_people([person for person in people.values() if isinstance(person, User)])
    ids = {place: person.pk if isinstance(person, User) else person for place, person in people.items()}
    members = [
        {
            "user": ids[item.ord],
            "role": item.values["role_id"],
            "manager": _membership_of(team, item.values.get("manager_id")),
            "is_active": item.values.get("is_active") is not False,
        }
        for item in accepted
    ]
    written = insert(_SPEC, Rows.of(Membership, members), actor=actor, now=now, all_or_none=all_or_none)
    return verdicts.outcome(written, accepted, ids)


def _names(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: values.get(name) or "" for name in ("first_name", "last_name")}


def _new_person(item: Candidate, email: str, hashed: str | None, now: datetime) -> User:
    user = User(id=item.id, email=email, created_at=now, **_names(item.values))
    user.password = hashed or ""
    if hashed is None:
        user.set_unusable_password()
    return user


def _known_people(emails: Iterable[str]) -> dict[str, UUID]:
    with system_context("finding people by e-mail address", source="api"):
        return dict(User.objects.filter(email__in=list(emails)).values_list("email", "pk"))


def _insert_people(people: list[User]) -> None:
    if people:
        with system_context("adding people", source="api"):
            User.objects.bulk_create(people)


def _membership_of(team: _Team, user_id: UUID | None) -> UUID | None:
    return team.members[user_id].membership_id if user_id else None


def _check_names(item: Candidate, verdicts: Verdicts) -> None:
    for name in ("first_name", "last_name"):
        value = item.values.get(name)
        if value and len(value) > MAX_NAME:
            verdicts.refuse(item, name, "too_long", f"At most {MAX_NAME} characters are allowed.")


def _check_role(item: Candidate, team: _Team, verdicts: Verdicts, *, is_needed: bool = False) -> None:
    role_id = item.values.get("role_id")
    if role_id is None:
        if is_needed or "role_id" in item.values:
            verdicts.refuse(item, "role", "required", "A member has a role.")
    elif role_id not in team.roles:
        verdicts.refuse(item, "role", "does_not_exist", "There is no such record.")
    elif not team.may_give(role_id):
        verdicts.refuse(item, "role", *_BEYOND)


def _check_manager(item: Candidate, team: _Team, verdicts: Verdicts) -> None:
    manager_id = item.values.get("manager_id")
    if manager_id is None:
        return
    manager = team.members.get(manager_id)
    if manager is None or not manager.is_active:
        verdicts.refuse(item, "manager", "does_not_exist", "There is no such record.")
    elif item.id in team.members and team.is_below(manager_id, item.id):
        verdicts.refuse(item, "manager", "circle", "Nobody can be below themselves.")


def update_users(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change members: names and e-mail address, role, manager, whether they are active. Needs a transaction.

    Names and address belong to the person; a company may change them while it is their only one. Whoever loses their
    place is signed out at once. Raises: Forbidden.
    """
    begin_change_of_rights(actor)
    team, candidates = _Team(actor), read_rows(rows)
    verdicts = Verdicts(candidates, all_or_none)
    elsewhere = people_elsewhere(actor, [item.id for item in candidates])
    people = {user.pk: user for user in User.objects.filter(pk__in=[item.id for item in candidates])}
    for item in candidates:
        member = team.members.get(item.id)
        if member is None:
            verdicts.refuse(item, "id", "not_found", "There is no such record.")
            continue
        if not team.may_give(member.role_id):
            verdicts.refuse(item, "role", *_BEYOND)
        _check_names(item, verdicts)
        _check_role(item, team, verdicts)
        _check_manager(item, team, verdicts)
        _check_own_data(item, people[item.id], elsewhere, verdicts)
        _keep_an_admin(item, member, team, verdicts)
    _check_new_emails(candidates, people, verdicts)
    accepted = verdicts.accepted
    written = update(
        _SPEC,
        rows_of(Membership, [_as_membership(item, team) for item in accepted]),
        actor=actor,
        now=now,
        all_or_none=all_or_none,
    )
    outcome = verdicts.outcome(written, accepted, {item.ord: item.id for item in accepted})
    done = [item for item in accepted if item.ord in outcome.ids]
    outcome = _change_people(done, people, outcome, actor, now)
    gone = [item.id for item in done if item.values.get("is_active") is False]
    if gone:
        end_sessions_of_members(actor, gone, now, "deactivated")
    return outcome


def deactivate_users(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Take people's place in the company away; what they own and did stays. Needs a transaction. Raises: Forbidden."""
    candidates = [
        Candidate(item.ord, item.id, item.expected_version, {"is_active": False}) for item in read_rows(rows)
    ]
    return update_users(actor=actor, rows=rows_of(Person, candidates), now=now, all_or_none=all_or_none)


def _as_membership(item: Candidate, team: _Team) -> Candidate:
    values: dict[str, Any] = {
        name: item.values[name] for name in ("role_id", "is_active") if name in item.values
    }
    if values.get("is_active", True) is None:
        del values["is_active"]
    if "manager_id" in item.values:
        values["manager_id"] = _membership_of(team, item.values["manager_id"])
    return Candidate(item.ord, team.members[item.id].membership_id, item.expected_version, values)


def _keep_an_admin(item: Candidate, member: _Member, team: _Team, verdicts: Verdicts) -> None:
    """Refuse what would leave the company without an admin; else let the following rows see this one's effect."""
    if verdicts.is_refused(item):
        return
    after = _Member(
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
    if item.id not in elsewhere:
        return
    for name in _OF_USER:
        if name in item.values and (item.values[name] or "") != getattr(user, name):
            verdicts.refuse(item, name, "not_editable", "Only the person themselves can change this.")


def _check_new_emails(candidates: list[Candidate], people: Mapping[UUID, User], verdicts: Verdicts) -> None:
    wanted = {
        item.ord: item.values["email"]
        for item in candidates
        if "email" in item.values and item.id in people and item.values["email"] != people[item.id].email
    }
    known = _known_people(wanted.values()) if wanted else {}
    for item in candidates:
        email = wanted.get(item.ord)
        if email is not None and (email in known or list(wanted.values()).count(email) > 1):
            verdicts.refuse(item, "email", "taken", "This e-mail address is in use.")


def _change_people(
    done: list[Candidate], people: Mapping[UUID, User], outcome: Outcome, actor: Actor, now: datetime
) -> Outcome:
    """Write names and addresses; the member's version grows for them too."""
    changed: dict[int, User] = {}
    for item in done:
        user = people[item.id]
        wanted = {name: item.values[name] or "" for name in _OF_USER if name in item.values}
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
    User.objects.bulk_update(changed.values(), list(_OF_USER))
    alone = [place for place in changed if place in outcome.unchanged]
    Membership.objects.filter(user_id__in=[outcome.ids[place] for place in alone]).update(
        version=F("version") + 1, updated_at=now, updated_by=actor.user_id
    )
    versions = {place: version + (place in alone) for place, version in outcome.versions.items()}
    return Outcome(outcome.ids, versions, outcome.refused, outcome.unchanged - set(alone))


def update_own_profile(actor: Actor, *, changes: Mapping[str, str], now: datetime) -> None:
    """A person changes their own names. Needs a transaction. Raises: Invalid, NotFound."""
    needs_transaction()
    faults = [
        Fault(name, "unknown_field", "There is no such field.")
        if name not in ("first_name", "last_name")
        else Fault(name, "too_long", f"At most {MAX_NAME} characters are allowed.")
        for name, value in changes.items()
        if name not in ("first_name", "last_name") or len(value) > MAX_NAME
    ]
    if faults:
        raise Invalid(faults=faults)
    if not changes:
        return
    if actor.user_id is None:
        raise NotFound()
    user = User.objects.get(pk=actor.user_id)
    old = {name: getattr(user, name) for name in changes}
    User.objects.filter(pk=user.pk).update(**changes)
    Membership.objects.filter(user_id=user.pk).update(
        version=F("version") + 1, updated_at=now, updated_by=actor.user_id
    )
    record_fact(
        action="update", entity_type="user", entity_id=user.pk, details={"old": old, "new": dict(changes)}
    )
