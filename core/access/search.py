"""Full-text search over one entity: every word must occur, the last one may be a beginning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import BooleanField, F, FloatField, Q, QuerySet
from django.db.models.expressions import RawSQL

if TYPE_CHECKING:
    from core.access.view import EntityView

MAX_WORDS = 12
VECTOR = "search_vector"
_WORD = re.compile(r"[^\W_]+", re.UNICODE)


def search(view: EntityView, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
    """`queryset` narrowed to matches and ordered by rank; no word at all matches nothing."""
    words = _WORD.findall(text.replace("\x00", " "))[:MAX_WORDS]
    if not words or not view.searched:
        return queryset.none()
    try:
        view.entity.model._meta.get_field(VECTOR)
    except FieldDoesNotExist:
        return _by_contents(view, queryset, words)
    query = " & ".join([*(f"'{word}'" for word in words[:-1]), f"'{words[-1]}':*"])
    table = view.entity.table
    matches = RawSQL(
        f'"{table}"."{VECTOR}" @@ to_tsquery(\'simple\', %s)', [query], output_field=BooleanField()
    )
    rank = RawSQL(
        f'ts_rank("{table}"."{VECTOR}", to_tsquery(\'simple\', %s))', [query], output_field=FloatField()
    )
    return queryset.filter(matches).annotate(search_rank=rank).order_by(F("search_rank").desc(), "-pk")


def _by_contents(view: EntityView, queryset: QuerySet[Any], words: list[str]) -> QuerySet[Any]:
    for word in words:
        found = Q()
        for field in view.searched:
            found |= Q(**{f"{field.column}__icontains": word})
        queryset = queryset.filter(found)
    return queryset.order_by(view.searched[0].column, "pk")
