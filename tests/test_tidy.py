"""Is the source as small, documented, connected and mirrored as the house rules say?"""

import ast
import re
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from operations import watchdogs
from operations.actions import due
from operations.adapters import alert_desk
from operations.cli import app, cmd, reference
from operations.events.halts import HaltReason
from operations.halt import board, policy
from operations.notifications import message
from workers import WORKERS

pytestmark = pytest.mark.unit
ROOT = Path(__file__).resolve().parents[1]
CODE = sorted(
    file.relative_to(ROOT)
    for top in ("operations", "workers")
    for file in (ROOT / top).rglob("*.py")
)
TESTS = sorted(file.relative_to(ROOT) for file in (ROOT / "tests").rglob("*.py"))
BENCH = sorted(file.relative_to(ROOT) for file in (ROOT / "bench").rglob("*.py"))
LONGEST_FUNCTION, LONGEST_MODULE, LONGEST_LINE = 60, 400, 100
LONGEST_RUNBOOK = 35
# One is handed to auditors as a single file, with signatures, trees and formats in it; the other is
# the list of all settings and their only reader. Neither can be divided.
LONGER_MODULES = {
    Path("operations/audit/standalone.py"): 500,
    Path("operations/config.py"): 500,
}
RUNBOOKS_OF_SETTINGS = ("cmd_configure", "settings")
# Started by name, so nothing imports them.
PROGRAMS = {
    "workers.__main__": "python -m workers",
    "operations.cli.app": "the commands mts and mts1b-operations",
    "operations.cli.contract": "make contract",
    "operations.cli.reference": "make contract",
    "operations.cli.monitoring": "make contract",
    "operations.cli.compose_secrets": "once before docker compose up",
    "operations.audit.standalone": "handed out with exports as one file",
    "workers.paper_oms": "python -m workers paper_oms",
    "workers.halt_enforcer": "python -m workers halt_enforcer",
    **{place.partition(":")[0]: f"mts {name}" for name, place in app.COMMANDS},
    **{f"workers.{worker}": "python -m workers " + worker for worker in WORKERS},
}
# What docs/alerts.md leads to: the checks of workers and order systems, and two commands.
ALERT_PAGES = {
    "nats", "notifications", "own_records", "order_system", "halt", "cmd_acknowledge",
    "cmd_silence", "cmd_close", "canary",
}  # fmt: skip
# Folders of tests that belong to no one package.
STORIES = {"stories", "containers"}


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse((ROOT / file).read_text(), str(file))


def module_name(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


NAMES = {module_name(file) for file in CODE}


@cache
def imports(file: Path) -> frozenset[str]:
    """Return the modules of ours that a file names in its imports."""
    found: set[str] = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found & NAMES)


@pytest.mark.parametrize("file", [*CODE, *TESTS, *BENCH], ids=str)
def test_modules_functions_and_lines_are_short(file):
    lines = (ROOT / file).read_text().splitlines()
    longest = LONGER_MODULES.get(file, LONGEST_MODULE)
    assert len(lines) <= longest, f"{file} has {len(lines)} lines"
    for line in lines:
        assert len(re.sub(r"  # (noqa|type: ignore).*", "", line)) <= LONGEST_LINE, (
            f"{file}: {line}"
        )
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{file}: {node.name} has {length} lines"


@pytest.mark.parametrize("file", [*CODE, *TESTS, *BENCH], ids=str)
def test_every_module_says_what_it_is_for(file):
    assert ast.get_docstring(tree(file)), f"{file} has no docstring"


@pytest.mark.parametrize("file", [file for file in CODE if file.name == "__init__.py"], ids=str)
def test_a_package_file_holds_a_docstring_and_at_most_a_tuple(file):
    own = module_name(file).removesuffix(".__init__")
    rest = [
        node
        for node in tree(file).body[1:]
        if not (isinstance(node, ast.ImportFrom) and node.module == own)
    ]
    assert len(rest) <= 1
    assert all(isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple) for node in rest)


def test_every_folder_of_code_is_a_package():
    folders = {file.parent for file in CODE}
    assert {folder / "__init__.py" for folder in folders} <= set(CODE)


def test_every_module_is_reached_from_a_program():
    files = {module_name(file): file for file in CODE}
    assert set(PROGRAMS) <= set(files)
    reached, waiting = set(), set(PROGRAMS)
    while waiting:
        name = waiting.pop()
        reached.add(name)
        parents = {name.rpartition(".")[0]} & set(files)
        waiting |= (imports(files[name]) | parents) - reached
    # What trading services import, and nothing of ours has to: how they publish, and how they score
    # forecasts, measure falls and sign trades where no venue does (decision 19).
    library = {
        "operations.adapters.publisher",
        "operations.statistics.drawdown",
        "operations.statistics.information_coefficient",
        "operations.statistics.trade_signs",
    }
    for name in library:
        reached |= {name, *imports(files[name])}
    packages = {name for name, file in files.items() if file.name == "__init__.py"}
    assert set(files) - reached - packages == set()


@pytest.mark.parametrize("file", [file for file in TESTS if file.name.startswith("test_")], ids=str)
def test_a_test_file_belongs_to_a_module_of_the_same_place_and_name(file):
    folder, name = file.parts[1:-1], file.stem.removeprefix("test_")
    if folder and folder[0] in STORIES:
        return
    place = Path(*folder) if folder and folder[0] == "workers" else Path("operations", *folder)
    mirrored = {place / f"{name}.py", place / name / "__init__.py"} & set(CODE)
    # At the top and beside a package, a file may ask about the whole instead of one module.
    whole = not folder or any(imports(file))
    assert mirrored or whole, f"{file} belongs to no module"


@pytest.mark.parametrize("file", [each for each in CODE if each.name != "__init__.py"], ids=str)
def test_every_module_is_used_by_a_test(file):
    """By a file of its name, by import, as a program, or by a module that is used in such a way."""
    used = set().union(*(imports(test) for test in TESTS)) | {*PROGRAMS}
    used |= {module_name(code) for code in CODE if mirror(code) in TESTS}
    through = set().union(*(imports(code) for code in CODE if module_name(code) in used))
    through |= imports(Path("workers/supervisor.py"))  # run by the tests of `mts start`
    assert module_name(file) in used | through, f"no test uses {file}"


def mirror(file: Path) -> Path:
    parts = file.parts if file.parts[0] == "workers" else file.parts[1:]
    return Path("tests", *parts[:-1], f"test_{file.name}")


def test_the_pages_of_settings_and_commands_are_the_ones_made_from_the_source():
    assert (ROOT / "docs/settings.md").read_text() == reference.settings_page(), "run make contract"
    assert (ROOT / "docs/commands.md").read_text() == reference.commands_page(), "run make contract"
    watched = (ROOT / "docs/watchdogs.md").read_text()
    assert watched == reference.watchdogs_page(), "run make contract"


def test_every_command_in_the_readme_exists():
    known = {name for name, _ in reference.commands(reference.app, "mts")}
    groups = {name.rpartition(" ")[0] for name in known}
    text = (ROOT / "README.md").read_text()
    for found in re.findall(r"(?:mts|mts1b-operations) (?:[a-z-]+ ?)+", text):
        words = ["mts", *found.split()[1:]]
        prefixes = {" ".join(words[: end + 1]) for end in range(1, len(words))}
        if words[1] in {"start", "stop", "check"} or words[1] in {"cmd", "setup"}:
            continue
        assert prefixes & (known | groups), f"the README names {found!r}, which is no command"


def test_every_reason_of_a_halt_and_every_command_of_people_has_a_runbook():
    folder, page = ROOT / "docs" / "runbooks", (ROOT / "docs" / "halts.md").read_text()
    assert set(board.RUNBOOKS) == set(get_args(HaltReason))
    verbs = [name for name, _ in reference.commands(cmd.cmd, "")]
    wanted = {*board.RUNBOOKS.values(), board.BLIND}
    wanted |= {f"cmd_{verb.strip().replace('-', '_')}" for verb in verbs}
    wanted |= {due.CHECK, "cmd_release_action"}
    for name in wanted:
        text = (folder / f"{name}.md").read_text()
        assert len(text.splitlines()) <= LONGEST_RUNBOOK, f"{name} is too long to read at night"
        assert f"runbooks/{name}.md" in page, f"docs/halts.md does not lead to {name}"
    configuration = (ROOT / "docs" / "configuration.md").read_text()
    for name in RUNBOOKS_OF_SETTINGS:
        assert len((folder / f"{name}.md").read_text().splitlines()) <= LONGEST_RUNBOOK
        assert f"runbooks/{name}.md" in configuration
        wanted.add(name)
    checks = {rule for rule in policy.RULES if (folder / f"{rule}.md").exists()}
    checks |= {one.name for one in watchdogs.ALL}
    assert {file.stem for file in folder.glob("*.md")} <= wanted | checks | ALERT_PAGES


def test_the_page_of_alerts_leads_to_the_runbooks_of_what_has_no_other():
    folder, page = ROOT / "docs" / "runbooks", (ROOT / "docs" / "alerts.md").read_text()
    for check in (*WORKERS, "oms_oms-1", alert_desk.NATS, alert_desk.CHANNEL):
        assert (folder / f"{message.page_of(check)}.md").exists(), f"no runbook for {check}"
    for name in ALERT_PAGES:
        text = (folder / f"{name}.md").read_text()
        assert len(text.splitlines()) <= LONGEST_RUNBOOK, f"{name} is too long to read at night"
        assert f"runbooks/{name}.md" in page, f"docs/alerts.md does not lead to {name}"


def test_every_pitfall_has_its_tests_and_every_test_of_a_pitfall_is_in_its_row():
    page = (ROOT / "docs" / "halts-pitfalls.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line[2:3].isdigit()]
    assert [row[0].removeprefix("| ") for row in rows] == [str(each) for each in range(1, 21)]
    tests = {
        f"{file}::{node.name}"
        for file in TESTS
        for node in tree(file).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    listed: dict[str, str] = {}
    for each in rows:
        number, found = each[0].removeprefix("| "), re.findall(r"`([^`]+)`", each[-1])
        assert any(f"::test_pitfall_{number}_" in name for name in found), f"none for {number}"
        listed |= dict.fromkeys(found, number)
    assert set(listed) <= tests
    for name in tests:
        if after := re.search(r"::test_pitfall_(\d+)_", name):
            assert listed.get(name) == after[1], f"{name} is missing in docs/halts-pitfalls.md"


def test_links_between_documents_lead_somewhere():
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_decisions_are_numbered_without_gaps_and_fit_on_a_page():
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    for file in files:
        text = file.read_text()
        for part in (f"# {int(file.name[:4])}. ", "**Question.**", "**Decision.**"):
            assert part in text, f"{file.name} has no {part}"
        assert len(text.splitlines()) <= LONGEST_FUNCTION, f"{file.name} is longer than a page"


def test_the_source_has_no_to_dos():
    words = "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3))
    for file in (*CODE, *TESTS, *BENCH):
        assert not re.search(rf"#.*\b({words})\b", (ROOT / file).read_text()), file
