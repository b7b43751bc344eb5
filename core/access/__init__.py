"""What an actor may see and do of an entity. Engines and views get an `EntityView`, never a model.

Words: *visibility* decides which records, a *mode* what of a field (`hidden`, `mask`, `view`, `edit`), a *verb* which
operations. A hidden field and one that does not exist answer alike.
"""

from core.access.view import EntityView, UnknownField, view

__all__ = ["EntityView", "UnknownField", "view"]
