"""Full-text search over one entity: every word must occur, the last one may be a beginning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import BooleanField, F, FloatField, Q, QuerySet
from django.db.models.expressions import RawSQL

from core.entities import Field
from core.entities.computed import with_computed

if TYPE_CHECKING:
    from core.access.view import EntityView

MAX_WORDS = 12
VECTOR = "search_vector"
_WORD = re.compile(r"[^\W_]+", re.UNICODE)


def search(view: EntityView, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
    """`queryset` narrowed to matches and ordered by rank; without any word nothing matches.

    Only what the actor may ask for is searched: what is hidden from them or masked neither finds a record nor ranks it.
    """
    words = _WORD.findall(text.replace("\x00", " "))[:MAX_WORDS]
    if not words or not view.searched:
        return queryset.none()
    try:
        view.entity.model._meta.get_field(VECTOR)
    except FieldDoesNotExist:
        return _by_contents(view, queryset, words)
    query = " & ".join([*(f"'{word}'" for word in words[:-1]), f"'{words[-1]}':*"])
    table = view.entity.table
    indexed = f'"{table}"."{VECTOR}"'
    own = [field for field in view.searched if field.custom_key]
    if _is_narrowed(view):
        searched = " || ".join(_words_of(field, table) for field in view.searched)
        if not own:
            # Whatever matches some of the indexed words matches all of them, so the index still finds the candidates.
            queryset = queryset.filter(_matches(indexed, query))
    else:
        searched = " || ".join([indexed, *(_words_of(field, table) for field in own)])
    rank = RawSQL(f"ts_rank({searched}, to_tsquery('simple', %s))", [query], output_field=FloatField())
    found = queryset.filter(_matches(searched, query)).annotate(search_rank=rank)
    return found.order_by(F("search_rank").desc(), "-pk")


def _is_narrowed(view: EntityView) -> bool:
    """Whether the index holds words of fields that the actor may not ask for."""
    return any(field.search and field.name not in view.askable for field in view.entity.fields.values())


def _matches(vector: str, query: str) -> RawSQL:
    return RawSQL(f"({vector}) @@ to_tsquery('simple', %s)", [query], output_field=BooleanField())


def _words_of(field: Field, table: str) -> str:
    """The words of one field, as the `search_vector` of tables has them."""
    quoted = f'"{table}"'
    value = f"coalesce({field.sql_of(quoted)}::text, '')"
    words = f"to_tsvector('simple'::regconfig, translate({value}, '@._-/:+&#''', '          '))"
    return f"setweight({words}, '{field.search}')"


def _by_contents(view: EntityView, queryset: QuerySet[Any], words: list[str]) -> QuerySet[Any]:
    queryset = with_computed(queryset, view.searched)
    for word in words:
        found = Q()
        for field in view.searched:
            found |= Q(**{f"{field.attribute}__icontains": word})
        queryset = queryset.filter(found)
    return queryset.order_by(view.searched[0].attribute, "pk")
