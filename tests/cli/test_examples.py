"""Can every example in the help and in the pages be typed as it stands?"""

import re
import shlex
from pathlib import Path

import pytest
from cyclopts import App

from operations.cli.app import app
from operations.cli.reference import HELP_ARGUMENTS

pytestmark = pytest.mark.unit
PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
SHELL = re.compile(r"\s(?:\||<|>|2>|&&).*|\$\(.*?\)")
EXAMPLE = re.compile(r"^\s*Example: (mts .*?)\n\n", re.MULTILINE | re.DOTALL)


def helps(group: App) -> list[str]:
    """The help of every command below a group."""
    found = []
    for name in sorted(set(group) - set(HELP_ARGUMENTS)):
        command = group[name]
        function = command.default_command
        found += [function.__doc__ + "\n\n"] if function else helps(command)
    return found


def examples() -> list[str]:
    text = PAGE.read_text().replace("\\\n", " ")
    typed = re.findall(r"^mts .*$", text, re.MULTILINE)
    return typed + [each for doc in helps(app) for each in EXAMPLE.findall(doc)]


def test_there_are_examples_to_try():
    assert len(examples()) > 30
    assert "mts audit verify --from-sequence 0" in examples()


@pytest.mark.parametrize("example", examples())
def test_an_example_is_what_the_command_takes(example):
    words = shlex.split(SHELL.sub("", example))
    command, _, _ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
    assert callable(command)


@pytest.mark.parametrize("name", ["verify", "show", "tail", "status", "export", "rebuild"])
def test_every_audit_command_says_its_exit_codes_and_shows_an_example(name):
    text = app["audit"][name].default_command.__doc__
    assert "Example: mts audit" in text
    assert "Exit code 0" in text or name == "tail"


@pytest.mark.parametrize(
    "name", ["halt", "cancel-all", "flatten-paper", "resume", "cosign", "drill"]
)
def test_every_command_of_people_says_its_word_its_exit_codes_and_an_example(name):
    text = app["cmd"][name].default_command.__doc__
    assert re.search(r"asks for the\s+word [A-Z]+", text)
    assert re.search(r"Exit\s+codes?", text)
    assert f"Example: mts cmd {name}" in text
