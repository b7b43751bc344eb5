"""What an actor may see and do of an entity. Engines and views get an `EntityView`, never a model.

Words: a *verb* is what is done (`read`, `create`, `update`, `delete`), *visibility* decides for which records a verb is open, a
*mode* what may be done with a field (`hidden`, `mask`, `view`, `edit`). A hidden field and one that does not exist answer alike.

Other apps plug in at four places: `fields.FIELD_PROVIDERS` (further fields), `modes.MODE_PROVIDERS` (who may do what with a
field), `visibility.SHARING` (which further records a verb is open for) and, for writes, the entity's declaration.
"""

from core.access.view import EntityView, MaskedField, UnknownField, view

__all__ = ["EntityView", "MaskedField", "UnknownField", "view"]
