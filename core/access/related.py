"""Records as conditions in memory read them: documents of the fields that are asked for, with the records behind relations
inside. One statement for the records and one for each relation, for any number of records.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from core.access.view import EntityView

# Field -> what is asked of the record behind it; empty where the value itself is asked for.
Tree = dict[str, Any]
Documents = dict[UUID, dict[str, Any]]


def split_path(path: str) -> list[str]:
    """`account.custom_fields.tier` -> `account`, `custom_fields.tier`."""
    names = path.split(".")
    if len(names) > 1 and names[-2] == "custom_fields":
        names[-2:] = [f"custom_fields.{names[-1]}"]
    return names


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
