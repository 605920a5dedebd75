"""`make contract` writes the documents of today and removes those of events that are gone."""

import pytest

from operations.cli.contract import write
from operations.events.contract import documents

pytestmark = pytest.mark.unit


def test_every_document_is_written_and_old_schemas_are_removed(tmp_path):
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "mts.v1.gone.json").write_text("{}")
    assert write(tmp_path) == len(documents())
    written = {
        str(file.relative_to(tmp_path)): file.read_text()
        for file in tmp_path.rglob("*")
        if file.is_file()
    }
    assert written == documents()
