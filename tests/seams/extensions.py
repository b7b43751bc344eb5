"""What this app plugs into registries."""

from __future__ import annotations

from tests.seams.registries import INSPECTIONS

INSPECTIONS.register("brakes", "Whether it stops")
