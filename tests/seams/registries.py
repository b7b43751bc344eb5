"""An extension point of an upper app."""

from __future__ import annotations

from core.kernel.registry import Registry

# Checks that an inspection may make: name -> what it looks at.
INSPECTIONS: Registry[str] = Registry("inspection")
