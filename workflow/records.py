"""Records as workflows read them: documents of the fields that are asked for, with the records behind relations inside.

A fixed number of statements for any number of records: one for the records, one for each relation, and one for what has
changed since, where they are wanted as they were at an event.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from core.access import EntityView
from core.changes.models import ChangeLog
from core.entities import CUSTOM_FIELDS
from workflow.definitions import split_path

# Field -> what is asked of the record behind it; empty where the value itself is asked for.
Tree = dict[str, Any]
Documents = dict[UUID, dict[str, Any]]


def tree_of(paths: Iterable[str]) -> Tree:
    """Dotted paths as a tree."""
    tree: Tree = {}
    for path in paths:
        inside = tree
        for name in split_path(path):
            inside = inside.setdefault(name, {})
    return tree


def load(view: EntityView, ids: Collection[UUID], tree: Tree, *, binned: bool = False) -> Documents:
    """The records that the actor sees, each with the fields of the tree; what is hidden from them is left out.

    Needs the company in context. `binned`: those in the recycle bin are wanted too.
    """
    if not ids:
        return {}
    names = [name for name in tree if name in view.fields]
    found: Documents = {}
    querysets = [view.records()]
    if binned and view.entity.is_soft_deleted:
        querysets.append(view.bin())
    for queryset in querysets:
        output = view.output(["id", *(name for name in names if name != "id")])
        for document, key in output.documents(queryset.filter(pk__in=ids), ("id",)):
            found[UUID(key)] = document
    return found


def add_details(view: EntityView, documents: Iterable[dict[str, Any]], tree: Tree) -> None:
    """Put the records behind relations beside their ids, as `<relation>_detail`."""
    rows = list(documents)
    for name, inside in tree.items():
        if not inside or name not in view.fields or name not in view.access.relations:
            continue
        if not view.actor.rights.can("read", view.access.relations[name]):
            continue
        related = view.related(name)
        ids = {UUID(str(row[name])) for row in rows if row.get(name)}
        details = load(related, ids, inside)
        add_details(related, details.values(), inside)
        for row in rows:
            row[f"{name}_detail"] = details.get(UUID(str(row[name]))) if row.get(name) else None


class AsOf:
    """What records were at each entry of the log, found by walking back from what they are."""

    def __init__(self, entity_type: str, since: Mapping[UUID, int]) -> None:
        """`since`: for each record the first entry of interest. One statement."""
        self._later: dict[UUID, list[tuple[int, dict[str, Any]]]] = {}
        if not since:
            return
        later = ChangeLog.objects.filter(
            entity_type=entity_type,
            entity_id__in=list(since),
            id__gt=min(since.values()),
            action__in=("update", "delete", "restore"),
        )
        for key, log_id, old in later.order_by("id").values_list("entity_id", "id", "old_values"):
            self._later.setdefault(key, []).append((log_id, old or {}))

    def document(self, record_id: UUID, document: Mapping[str, Any], log_id: int) -> dict[str, Any]:
        """The record as it was right after the entry."""
        before: dict[str, Any] = {}
        for later, old in self._later.get(record_id, ()):
            if later > log_id:
                # The earliest later change knows what it was before.
                before = {**old, **before}
        known = {name: value for name, value in before.items() if name in document and name != CUSTOM_FIELDS}
        rebuilt = {**document, **known}
        if CUSTOM_FIELDS in document and before.get(CUSTOM_FIELDS):
            rebuilt[CUSTOM_FIELDS] = {**document[CUSTOM_FIELDS], **before[CUSTOM_FIELDS]}
        return rebuilt


def value_at(document: Mapping[str, Any] | None, path: str) -> Any:
    """The value at a dotted path of a loaded document; None where there is nothing, or nothing to be seen."""
    names = split_path(path)
    for name in names[:-1]:
        document = None if document is None else document.get(f"{name}_detail")
    if document is None:
        return None
    last = names[-1]
    if last.startswith(f"{CUSTOM_FIELDS}."):
        return (document.get(CUSTOM_FIELDS) or {}).get(last.removeprefix(f"{CUSTOM_FIELDS}."))
    return document.get(last)
