"""The page of an import leads to its file, for those who may read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.backoffice.conftest import Office, text_of
from tests.data_import.test_api import ROWS, upload
from tests.worlds import World

pytestmark = pytest.mark.django_db


def test_the_file_is_downloaded_from_the_page_of_its_import(
    acme: World, globex: World, office: Office, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    job = upload(acme.client(), entity_type="account").json()["id"]
    url = f"/admin/data_import/importjob/{job}/file/"
    me = office(acme)
    assert url in text_of(me.get(f"/admin/data_import/importjob/{job}/", follow=True))

    answer: Any = me.get(url)
    assert b"".join(answer.streaming_content) == ROWS.encode()
    assert answer["Content-Disposition"] == 'attachment; filename="companies.csv"'
    assert office(globex).get(url).status_code in (302, 404)
