"""The order of a list, and the rows after a place in it, where a cursor continues."""

from __future__ import annotations

from typing import Any

from django.db.models import F, Q

from core.entities import Field
from core.entities.kinds import BadValue

# (field, descending), ending with the id.
Ordering = tuple[tuple[Field, bool], ...]


def order(field: Field, descending: bool) -> Any:
    value = F(field.attribute)
    return value.desc() if descending else value.asc()


def typed(field: Field, value: str | None) -> Any:
    if value is None:
        return None
    try:
        return field.type.from_text(field, value)
    except BadValue:
        # A stored value may lie outside today's limits; as a text it still sorts.
        return value


def after(ordering: Ordering, values: tuple[str | None, ...], backwards: bool) -> Q:
    """`behind` for values as a cursor has them."""
    typed_values = tuple(typed(field, text) for (field, _), text in zip(ordering, values, strict=True))
    return behind(ordering, typed_values, backwards)


def behind(ordering: Ordering, values: tuple[Any, ...], backwards: bool) -> Q:
    """Rows after the place, of a queryset that is annotated with the computed ones of the fields. PostgreSQL sorts nulls as if
    they were larger than everything."""
    further, equal = Q(pk__in=[]), Q()
    bound = Q()
    for place, ((field, descending), value) in enumerate(zip(ordering, values, strict=True)):
        column = field.attribute
        down = descending != backwards
        if value is None:
            later = Q(**{f"{column}__isnull": False}) if down else Q(pk__in=[])
            same = Q(**{f"{column}__isnull": True})
        else:
            later = Q(**{f"{column}__lt" if down else f"{column}__gt": value})
            if not down and field.nullable:
                later |= Q(**{f"{column}__isnull": True})
            same = Q(**{column: value})
            if place == 0 and not field.nullable:
                # Implied by the rest; as a condition of its own it tells an index where to start.
                bound = Q(**{f"{column}__lte" if down else f"{column}__gte": value})
        further |= equal & later
        equal &= same
    return bound & further
