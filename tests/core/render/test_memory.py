"""Files of any length need the same memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROWS = 200_000
MAX_MEGABYTES = 40
PROGRAM = """
import resource, sys
from decimal import Decimal
from core.render import CellType, Column, Document, Table, render

class Nowhere:
    def write(self, data): pass

columns = [Column(f"c{n}", f"C{n}") for n in range(4)] + [Column("amount", "Amount", CellType.MONEY, currency="EUR")]
document = lambda count: Document(
    "Deals", [Table("Deals", columns, ([f"text {n} {m}" for m in range(4)] + [Decimal(n)] for n in range(count)))]
)
render(sys.argv[1], document(2000), Nowhere())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = render(sys.argv[1], document(int(sys.argv[2])), Nowhere())
assert result.row_count == int(sys.argv[2])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("format", ["csv", "ndjson", "json", "xlsx"])
def test_a_long_file_is_written_in_constant_memory(format: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, format, str(ROWS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert int(done.stdout) < MAX_MEGABYTES
