"""Both back ends at once: what one says, the other must say too."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from core.conditions import Condition, compile_condition
from tests.core.conditions.sample import Sample, Source, make_table, record_of

NOW = datetime(2026, 5, 20, 10, 30, tzinfo=UTC)


def leaf(field: str, operator: str, value: Any = None) -> dict[str, Any]:
    document = {"field": field, "operator": operator}
    return document if value is None else document | {"value": value}


@pytest.fixture
def table(db: None) -> None:
    make_table()


@pytest.fixture
def ask(table: None) -> Callable[..., bool]:
    """Whether a condition holds for a record of these values; fails where the two back ends differ."""

    def ask(document: Any, *, zone: Any = UTC, **values: Any) -> bool:
        condition = (
            document if isinstance(document, Condition) else compile_condition(document, Source(), zone=zone)
        )
        row = Sample(**values)
        Sample.objects.filter(pk=row.pk).delete()
        Sample.objects.bulk_create([row])
        row = Sample.objects.select_related("parent").get(pk=row.pk)
        selected = Sample.objects.filter(condition.to_q(now=NOW), pk=row.pk).exists()
        accepted = condition.matches(record_of(row), now=NOW)
        assert selected is accepted, f"PostgreSQL says {selected}, memory {accepted}"
        return selected

    return ask
