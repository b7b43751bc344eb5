"""Documented, composable transforms of a cell: in Python, and in SQL where the meaning is the same."""

from data_import.engine.transforms.base import Transform, TransformError
from data_import.engine.transforms.registry import (
    Chain,
    RuleFault,
    RuleFaults,
    TransformDoc,
    build,
    build_chain,
    describe,
)

__all__ = [
    "Chain",
    "RuleFault",
    "RuleFaults",
    "Transform",
    "TransformDoc",
    "TransformError",
    "build",
    "build_chain",
    "describe",
]
