"""Words of permission: what covers what, how a key's scopes narrow its owner's rights, the roles of a new company."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.entities import ACTIONS, Action, entities
from core.kernel.registry import Registry
from core.tenancy.actors import VERBS, Rights

EVERYTHING = "*"
MANAGE_USERS = "manage_users"
MANAGE_SETTINGS = "manage_settings"

# Permissions beyond verb × entity: word -> what it allows. Upper floors add theirs in `extensions.py`.
PERMISSION_WORDS: Registry[str] = Registry("permission word")
PERMISSION_WORDS.register(EVERYTHING, "Everything, now and in future")
PERMISSION_WORDS.register(MANAGE_USERS, "Members, roles, API keys and the settings of the company")
PERMISSION_WORDS.register(MANAGE_SETTINGS, "How the company works: pipelines, stages, reasons for losing")
for _verb in VERBS:
    PERMISSION_WORDS.register(_verb, f"{_verb.capitalize()} any record")


@dataclass(frozen=True, slots=True)
class BuiltinRole:
    name: str
    permissions: tuple[str, ...]
    record_scope: str


BUILTIN_ROLES = (
    BuiltinRole("admin", (EVERYTHING,), "all"),
    BuiltinRole("manager", ("create", "read", "update", "delete", "analytics", MANAGE_SETTINGS), "team"),
    BuiltinRole("sales", ("create", "read", "update", "analytics"), "own"),
    BuiltinRole("viewer", ("read", "analytics"), "all"),
)


def is_permission(word: str) -> bool:
    """Whether `word` means anything: a permission word, `verb:entity`, or the word of a declared action."""
    verb, _, entity = word.partition(":")
    return word in PERMISSION_WORDS or (verb in VERBS and entity in entities) or _action(word) is not None


def permission_words() -> list[str]:
    """Every word a role may hold."""
    return [
        *PERMISSION_WORDS.names(),
        *(f"{verb}:{entity.name}" for entity in entities for verb in VERBS),
        *(action.word for action in ACTIONS),
    ]


def _action(word: str) -> Action | None:
    """The declared action that `word` allows and nothing else, such as `win:deal`."""
    name, _, entity = word.partition(":")
    return ACTIONS.find(f"{entity}.{name}")


def covers(held: Iterable[str], word: str) -> bool:
    """Whether whoever holds `held` may do what `word` allows. The right of an action's verb includes the action."""
    words = frozenset(held)
    if EVERYTHING in words or word in words or (":" in word and word.partition(":")[0] in words):
        return True
    action = _action(word)
    return action is not None and covers(words, f"{action.verb}:{action.entity}")


def is_within(rights: Rights, permissions: Iterable[str], record_scope: str) -> bool:
    """Whether all of it is no more than `rights`: nobody gives what they do not have."""
    scope_fits = rights.record_scope in ("all", record_scope) or record_scope == "own"
    return scope_fits and all(covers(rights.permissions, word) for word in permissions)


def narrowed(permissions: Iterable[str], scopes: Iterable[str]) -> frozenset[str]:
    """What both allow."""
    held, asked = frozenset(permissions), frozenset(scopes)
    return frozenset(
        {word for word in asked if covers(held, word)} | {word for word in held if covers(asked, word)}
    )
