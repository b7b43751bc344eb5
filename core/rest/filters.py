"""Filters for lists that are no entities, and their entry in the OpenAPI document.

A `FilterSet` names each filter as the parameter it is: `state`, `state__in`, `created_at__gte`. Its `label` is what the
document says about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import django_filters as filters
from django import forms
from django.utils import timezone

from core.kernel.errors import Fault

MAX_TEXT = 200
_BIGINT = 2**63 - 1
# The same fault has the same code, whoever found it.
_CODES = {
    "invalid_choice": "not_a_choice",
    "max_length": "too_long",
    "max_value": "too_large",
    "min_value": "too_small",
    "null_characters_not_allowed": "invalid_characters",
}


class ChoiceFilter(filters.ChoiceFilter):
    """One of a few words."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, empty_label=None, null_label=None, **kwargs)

    @property
    def words(self) -> list[str]:
        choices = self.extra["choices"]
        return [str(word) for word, _ in (choices() if callable(choices) else choices)]


class ChoiceInFilter(filters.BaseInFilter, ChoiceFilter):
    """Any of several words, separated by commas."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, lookup_expr="in", **kwargs)


class BooleanFilter(ChoiceFilter):
    """`true` or `false`, and nothing else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, choices=(("true", "true"), ("false", "false")), **kwargs)

    def filter(self, qs: Any, value: str) -> Any:
        return qs.filter(**{self.field_name: value == "true"}) if value else qs


class IntegerFilter(filters.NumberFilter):
    """A whole number that PostgreSQL can hold."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"min_value": 0, "max_value": _BIGINT, **kwargs})

    def get_max_validator(self) -> None:
        return None


class _Time(forms.CharField):
    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
            if timezone.is_naive(moment):
                # In the time zone of whoever asks, which the list has activated.
                moment = timezone.make_aware(moment)
            return moment.astimezone(timezone.get_default_timezone())
        except (ValueError, OverflowError):
            raise forms.ValidationError(
                "A time as ISO 8601 is expected, such as 2026-11-30T09:00:00Z.", code="not_a_datetime"
            ) from None


class TimeFilter(filters.Filter):
    """A moment as ISO 8601; without an offset it is read in the company's time zone."""

    field_class = _Time


class UUIDFilter(filters.UUIDFilter):
    """An id."""


class TextFilter(filters.CharFilter):
    """A text of bounded length."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"max_length": MAX_TEXT, "strip": False, **kwargs})


def faults_of(filterset: filters.FilterSet) -> list[Fault]:
    """Everything that is wrong with the values of the filters."""
    return [
        Fault(name, _code(filterset.filters[name], error["code"]), str(error["message"]))
        for name, errors in filterset.form.errors.get_json_data().items()
        for error in errors
    ]


def _code(entry: filters.Filter, code: str) -> str:
    if code == "invalid":
        return "not_an_integer" if isinstance(entry, IntegerFilter) else "not_an_id"
    return _CODES.get(code, code)


def parameters_of(filterset: type[filters.FilterSet]) -> Mapping[str, Mapping[str, Any]]:
    """The query parameters that the filters are: name -> JSON Schema."""
    return {
        name: {**_schema(entry), "description": str(entry.label or "")}
        for name, entry in filterset.base_filters.items()
    }


def _schema(entry: filters.Filter) -> dict[str, Any]:
    match entry:
        case BooleanFilter():
            return {"type": "boolean"}
        case ChoiceInFilter():
            word = "|".join(entry.words)
            return {"type": "string", "pattern": f"^({word})(,({word}))*$"}
        case ChoiceFilter():
            return {"type": "string", "enum": entry.words}
        case UUIDFilter():
            return {"type": "string", "format": "uuid"}
        case TimeFilter():
            return {"type": "string", "format": "date-time"}
        case IntegerFilter():
            return {
                "type": "integer",
                "minimum": entry.extra["min_value"],
                "maximum": entry.extra["max_value"],
            }
        case TextFilter():
            return {"type": "string", "minLength": 1, "maxLength": entry.extra["max_length"]}
    raise TypeError(f"{type(entry).__name__} has no JSON Schema; add it beside the others")
