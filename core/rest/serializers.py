"""Bodies that are no plain entities: every unknown key and every fault is said, with one code for one thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rest_framework import serializers

from core.kernel.errors import Fault, Invalid, as_object


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses keys it does not know, and every fault at once."""

    @classmethod
    def read(cls, document: Any, *, partial: bool = False) -> dict[str, Any]:
        """The checked values.

        Raises: Invalid.
        """
        serializer = cls(data=as_object(document), partial=partial)
        faults = [
            Fault(str(name), "unknown_field", "There is no such field.")
            for name in document
            if name not in serializer.fields
        ]
        if not serializer.is_valid():
            faults += _faults(serializer.errors)
        if faults:
            raise Invalid(faults=faults)
        return dict(serializer.validated_data)


# The same fault has the same code, whoever found it.
_CODES = {
    "blank": "required",
    "max_length": "too_long",
    "min_length": "required",
    "empty": "required",
    "max_value": "too_large",
    "min_value": "too_small",
    "null_characters_not_allowed": "invalid_characters",
    "surrogate_characters_not_allowed": "invalid_characters",
}


def _faults(errors: Any, path: str = "") -> Iterator[Fault]:
    if isinstance(errors, Mapping):
        for name, inner in errors.items():
            yield from _faults(inner, f"{path}.{name}" if path else str(name))
    else:
        for place, error in enumerate(errors):
            if isinstance(error, Mapping):
                yield from _faults(error, f"{path}.{place}")
            else:
                code = getattr(error, "code", "invalid")
                yield Fault(path, _CODES.get(code, code), str(error))
