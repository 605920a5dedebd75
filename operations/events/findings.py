"""What checks say: something was found, it goes on, it is over.

One subject per check, so that each check's process may publish only its own findings.
"""

from typing import Annotated, Literal

from operations.events.base import Data, Event, Id, Timestamp, Token, doc


class Evidence(Data, frozen=True, kw_only=True):
    """A range of the stream and a hash of the rows that a verdict was reached on."""

    first_stream_sequence: Annotated[int, doc("First event used.")]
    last_stream_sequence: Annotated[int, doc("Last event used.")]
    rows: Annotated[int, doc("Number of rows used.")]
    sha256: Annotated[str, doc("SHA-256 over the canonical rows, hexadecimal.")]


class Parameter(Data, frozen=True, kw_only=True):
    """A setting of a check, as it was for this verdict."""

    name: Annotated[str, doc("Name with its unit.")]
    value: Annotated[str, doc("Value as text.")]


class Finding(Data, frozen=True, kw_only=True):
    """What a check saw, on what evidence, and what it would do about it."""

    check: Annotated[Token, doc("Name of the check.")]
    episode: Annotated[Id, doc("Id shared by all findings from raised to cleared.")]
    severity: Annotated[Literal["info", "warning", "critical"], doc("How bad it is.")]
    title: Annotated[str, doc("What happened, in one line.")]
    looked_at: Annotated[Timestamp, doc("Event time of the look.")]
    rule_version: Annotated[str, doc("Version of the check's rule.")]
    statistic: Annotated[float | None, doc("Value that was judged; null when unknown.")] = None
    statistic_name: Annotated[str | None, doc("What it is, with its unit.")] = None
    threshold: Annotated[float | None, doc("Value that it was judged against.")] = None
    samples: Annotated[int | None, doc("Number of observations behind the statistic.")] = None
    details: Annotated[str | None, doc("More, in words.")] = None
    parameters: Annotated[tuple[Parameter, ...], doc("Settings used.")] = ()
    evidence: Annotated[tuple[Evidence, ...], doc("What it was reached on.")] = ()
    mode: Annotated[Literal["observe", "act"], doc("Whether actions may follow.")] = "observe"
    would_have: Annotated[str | None, doc("What act would have done, when observing.")] = None
    halt_level: Annotated[
        Literal["strategy", "fund", "firm"] | None, doc("Halt that it asks for.")
    ] = None
    stage: Annotated[
        int | None, doc("How bad it is, from 1; each stage is said once in an episode.")
    ] = None


class FindingRaised(Event, frozen=True, kw_only=True):
    """A check found something that was not there before: the start of an episode."""

    pattern = "mts.v1.operations.finding.{data.check}.raised"
    data: Finding


class FindingUpdated(Event, frozen=True, kw_only=True):
    """An episode goes on, with new figures."""

    pattern = "mts.v1.operations.finding.{data.check}.updated"
    data: Finding


class FindingCleared(Event, frozen=True, kw_only=True):
    """An episode is over."""

    pattern = "mts.v1.operations.finding.{data.check}.cleared"
    data: Finding
