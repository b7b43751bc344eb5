"""What this app plugs into registries."""

from __future__ import annotations

from tests.seams import gates
from tests.seams.registries import INSPECTIONS

__all__ = ["gates"]

INSPECTIONS.register("brakes", "Whether it stops")
