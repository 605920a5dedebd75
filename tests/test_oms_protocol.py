"""docs/oms-protocol.md says what the code does: its example, its numbers and its codes."""

import re
from hashlib import sha256
from pathlib import Path
from typing import get_args

import pytest

from operations.adapters import accounts
from operations.events import subjects
from operations.events.halts import HaltRequested, Phase
from operations.halt import policy
from operations.halt.state import Fact, Halts
from operations.halt.verdicts import Code, own_scope
from operations.signing import keys, message

pytestmark = pytest.mark.unit

TEXT = (Path(__file__).parents[1] / "docs" / "oms-protocol.md").read_text()


def value(name: str) -> str:
    found = re.search(rf"^{re.escape(name)} +(.+)$", TEXT, re.MULTILINE)
    assert found, name
    return found[1]


def test_the_worked_example_is_signed_as_it_says():
    private = keys.parse_private(_secret())
    payload = value("payload").encode()
    origin, environment, subject = value("origin"), value("environment"), value("subject")
    signed = message.signed_bytes(origin, environment, subject, payload)
    assert sha256(signed).hexdigest() in TEXT
    assert (len(payload), f"{len(signed)} bytes" in TEXT) == (253, True)
    assert message.Signer(private, origin, environment)(subject, payload) == value("Mts-Signature")
    assert str(private.public) in TEXT
    assert isinstance(subjects.decode(subject, payload), HaltRequested)


def _secret() -> str:
    found = re.search(r"PRIVATE\+KEY\+service-halt\S+", TEXT)
    assert found
    return found[0]


def test_the_state_hashes_are_those_of_the_fold():
    halts = Halts()
    payload = value("payload").encode()
    first = subjects.decode("mts.v1.operations.halt.requested", payload)
    second = subjects.decode(
        "mts.v1.operations.halt.requested",
        payload.replace(b'"h-1"', b'"h-2"').replace(b'"level"', b'"mode":"REDUCE_ONLY","level"'),
    )
    halts.request(Fact(first, 1, 0, ""))
    assert halts.state_hash == value("h-1 BLOCK_ALL")
    halts.request(Fact(second, 2, 0, ""))
    assert halts.state_hash in TEXT


def test_the_id_of_a_file_halt_is_derived_as_it_says():
    assert policy.halt_id_of("oms_oms-1", own_scope("oms-1"), "e-1") == value("          halt_id")


def test_every_code_phase_and_right_is_in_it():
    for word in (*get_args(Code), *get_args(Phase)):
        assert word in TEXT, word
    user = next(one for one in accounts.USERS if one.name == "oms-1")
    for subject in user.publish:
        if subject.startswith("mts."):
            assert subject.replace("oms-1", "<oms_id>") in TEXT, subject
