"""A file of contacts imported as tutorials do it: `python -m benchmarks.rivals.importing WAY FILE ROWS` prints seconds."""

from __future__ import annotations

import csv
import itertools
import sys
import time
from collections.abc import Iterable
from typing import Any

from benchmarks.contacts_file import COLUMNS
from benchmarks.rivals.frameworks import WRITES, Contact, ContactSerializer

CHUNK = 1_000


def _rows(path: str, count: int) -> list[dict[str, Any]]:
    with open(path, newline="") as file:
        named = (
            {COLUMNS.get(name, name): value for name, value in row.items() if value}
            for row in csv.DictReader(file)
        )
        return list(itertools.islice(named, count))


def _one_by_one(rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        serializer = ContactSerializer(data=row)
        serializer.is_valid(raise_exception=True)
        serializer.save(company_id=WRITES)


def _many(rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), CHUNK):
        serializer = ContactSerializer(data=rows[start : start + CHUNK], many=True)
        serializer.is_valid(raise_exception=True)
        Contact.objects.bulk_create(
            [Contact(company_id=WRITES, **values) for values in serializer.validated_data]
        )


def _import_export(rows: list[dict[str, Any]]) -> None:
    import tablib
    from import_export import resources

    class ContactResource(resources.ModelResource):
        class Meta:
            model = Contact
            import_id_fields = ()
            fields = (*COLUMNS.values(), "account_id", "company_id")
            use_bulk = True
            batch_size = CHUNK
            skip_diff = True
            use_transactions = True

    headers = [*COLUMNS.values(), "account_id", "company_id"]
    data = tablib.Dataset(headers=headers)
    for row in rows:
        data.append([row.get(name, "") or (str(WRITES) if name == "company_id" else "") for name in headers])
    result = ContactResource().import_data(data, raise_errors=True)
    assert result.totals["new"] == len(rows), result.totals


WAYS = {
    "DRF serializer for each row": _one_by_one,
    "DRF serializer many + bulk_create": _many,
    "django-import-export": _import_export,
}


def main() -> None:
    way, path, count = sys.argv[1:]
    started = time.perf_counter()
    WAYS[way](_rows(path, int(count)))
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
