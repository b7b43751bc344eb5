"""Records as workflows read them (`core.access.related`), also as they were at an event: one statement more, for what has
changed since.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from core.access.related import split_path
from core.changes.models import ChangeLog
from core.entities import CUSTOM_FIELDS


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
