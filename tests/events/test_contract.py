"""The documents in docs/ are those that the Structs say, and the samples obey them."""

import json
import re
import typing
from pathlib import Path

import msgspec
import pytest
from golden_events import golden, sample
from jsonschema import Draft202012Validator

from operations.events.base import Data
from operations.events.contract import address, asyncapi, documents, file_name, schema
from operations.events.subjects import ALL

pytestmark = pytest.mark.unit

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_documents_that_are_checked_in_are_generated_from_the_code():
    made = documents()
    assert {file.name for file in (DOCS / "schemas").glob("*.json")} == {
        file_name(kind) for kind in ALL
    }
    for name, text in made.items():
        assert (DOCS / name).read_text() == text, f"docs/{name} is old: run `make contract`"


@pytest.mark.parametrize("kind", ALL)
def test_a_golden_sample_obeys_its_schema(kind):
    Draft202012Validator.check_schema(schema(kind))
    Draft202012Validator(schema(kind)).validate(json.loads(sample(kind)))


@pytest.mark.parametrize("kind", ALL)
def test_the_schema_refuses_an_event_without_its_envelope(kind):
    validator = Draft202012Validator(schema(kind))
    whole = json.loads(sample(kind))
    for name in ("event_id", "timestamp", "actor", "subject_id", "data"):
        assert not validator.is_valid({key: whole[key] for key in whole if key != name})


def test_numbers_may_arrive_as_numbers_or_decimal_strings_and_as_nothing_else():
    kind = next(kind for kind in ALL if kind.pattern == "mts.v1.trading.order.submitted")
    whole = json.loads(sample(kind))
    validator = Draft202012Validator(schema(kind))
    for quantity, valid in (
        ("1.5", True),
        (1.5, True),
        ("NaN", False),
        (True, False),
        (None, False),
    ):
        whole["data"]["quantity"] = quantity
        assert validator.is_valid(whole) is valid, quantity


def test_every_reference_of_the_asyncapi_document_leads_somewhere():
    document = asyncapi()
    for reference in re.findall(r'"\$ref":\s*"#/([^"]+)"', json.dumps(document)):
        place = document
        for part in reference.split("/"):
            place = place[part]
    assert len(document["channels"]) == len(document["operations"]) == len(golden())


def test_every_parameter_of_a_subject_is_declared_and_is_a_field():
    for kind in ALL:
        names = re.findall(r"\{(\w+)\}", address(kind))
        assert set(asyncapi()["channels"][kind.__name__].get("parameters", {})) == set(names)
        fields = {field.name for field in msgspec.structs.fields(data_of(kind))}
        assert set(names) <= fields


def test_every_field_is_described_and_money_stands_beside_its_currency():
    for struct in structs():
        fields = typing.get_type_hints(struct, include_extras=True)
        for name, text in ((name, str(hint)) for name, hint in fields.items()):
            assert name.startswith("_") or "description=" in text, f"{struct.__name__}.{name}"
            if "'kind': 'money'" in text:
                assert "currency" in fields, f"{struct.__name__}.{name} has no currency"


def data_of(kind):
    return typing.get_type_hints(kind)["data"]


def structs(root=Data):
    for struct in root.__subclasses__():
        if not struct.__name__.startswith("_"):  # what is read of an event on a fast way
            yield struct
            yield from structs(struct)
