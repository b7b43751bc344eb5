"""Formats come from a registry that apps add to."""

from __future__ import annotations

import pytest

from core.entities.kinds import Kind
from core.render import RENDERERS, CellType, find_renderer
from tests.core.render.documents import TEXT, document_of, rendered

NOT_PLAIN = {
    Kind.INTEGER,
    Kind.DECIMAL,
    Kind.MONEY,
    Kind.BOOLEAN,
    Kind.DATE,
    Kind.DATETIME,
    Kind.TAGS,
    Kind.JSON,
}


class TestFormats:
    def test_of_another_app_are_found_and_know_their_app(self) -> None:
        assert RENDERERS.registered_by("csv") == "core"
        assert RENDERERS.registered_by("markdown") == "seams"

    def test_of_another_app_render_with_the_same_promises(self) -> None:
        data, result = rendered("markdown", document_of([TEXT], [["a|b"], [None], ["c"]], limit=2))

        assert data.decode().splitlines()[:4] == ["| Name |", "| --- |", "| a\\|b |", "|  |"]
        assert result.notices == ("Deals: Only the first 2 rows are in this file; there are more.",)
        assert result.file_name == "deals-2026-07-01.md"

    def test_have_the_names_people_use(self) -> None:
        assert find_renderer("excel") is RENDERERS["xlsx"]
        assert find_renderer("word") is None

    def test_that_nobody_registered_are_a_key_error(self) -> None:
        with pytest.raises(KeyError):
            rendered("word", document_of([TEXT], []))


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_field_has_its_cells(kind: Kind) -> None:
    assert (CellType.of_kind(kind) is not CellType.TEXT) == (kind in NOT_PLAIN)
