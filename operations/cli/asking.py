"""How a command of a person is confirmed: a word that is typed, then the reason.

The word guards against slips; it is no authority, the signature is. Where nobody can be asked and
no `--confirm WORD` is given, nothing is done.
"""

import sys
from typing import Annotated

from cyclopts import Parameter

from operations.cli.output import complain, facts
from operations.errors import Rejected

Confirm = Annotated[
    str,
    Parameter(help="The word, to confirm without being asked.", show_default=False),
]
Reason = Annotated[
    str | None,
    Parameter(help="Why; asked for where somebody can be asked.", show_default=False),
]


def show_plan(
    scope: str,
    trading: str,
    does: list[str],
    does_not: list[str],
    halted: list[str],
    label: str = "halted already",
) -> None:
    """Show on stderr what will happen and what will not, so that output stays for the answer."""
    pairs = [
        ("scope", scope),
        ("trading", trading),
        ("does", "\n".join(does)),
        ("does not", "\n".join(does_not)),
        (label, "\n".join(halted)),
    ]
    facts([(name, value) for name, value in pairs if value], error=True)


def confirmed(word: str, given: str, question: str) -> bool:
    """Whether the word was given or typed; raises Rejected where nobody can be asked."""
    if given:
        typed = given
    elif not sys.stdin.isatty():
        raise Rejected(f"nobody can be asked here; nothing was done. Confirm with --confirm {word}")
    else:
        typed = _ask(f"Type {word} to {question}: ")
    if typed != word:
        complain("?", f"not confirmed with {word}, nothing was done", "yellow")
    return typed == word


def reason_of(given: str | None, *, needed: bool) -> str:
    """Return the reason, asked for if it was not given and somebody is there.

    Raises Rejected where one is needed and there is none.
    """
    reason = given
    if reason is None and sys.stdin.isatty():
        reason = _ask("Reason: " if needed else "Reason (may be empty): ")
    reason = (reason or "").strip()
    if needed and not reason:
        raise Rejected("a reason is needed, nothing was done; say why with --reason TEXT")
    return reason


def _ask(prompt: str) -> str:
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    return line.strip()
