"""Try a watchdog on a recording: `mts watch backtest`."""

from pathlib import Path
from typing import Any

import msgspec
from cyclopts import App

from operations import watchdogs
from operations.adapters import backtest as backtests
from operations.adapters.backtest import Backtest
from operations.adapters.recordings import open_recording
from operations.cli import watch_chart
from operations.cli.output import (
    PROVEN,
    Bar,
    Output,
    complain,
    headline,
    read_text,
    run,
    write_json,
)
from operations.cli.tables import write_table
from operations.clock import parse_rfc3339, rfc3339
from operations.errors import Rejected
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated
from operations.settings.catalogue import nearest
from operations.statistics.detection import (
    Window,
    detection,
    rate_interval,
    share_interval,
)
from operations.watchdogs import feeds

watch = App(name="watch", help="Try a watchdog on a recording.")
FORM = 'JSON as {"AAPL": [["2015-03-15T10:27:53Z", "2015-03-16T19:27:53Z"]]}: windows by unit'


@watch.command
def backtest(
    *, check: str, from_: Path, labels: Path | None = None, chart: Path | None = None,
    output: Output = "table",
) -> int:  # fmt: skip
    """Read a recording and say when a watchdog would have fired; no server is asked or needed.

    FILE is a recording as for `mts replay` (docs/recordings.md). Limits are the defaults of this
    release. With labels: the share of labelled windows that has an episode in it, of those that
    began after it could judge, and episodes in no window for each unit-day, both with intervals
    of 95 %.

    Exit code 0: read to its end. 2: nothing could be made of a file or a name. 130: Ctrl-C.

    Example: mts watch backtest --check news_spike --from stories.jsonl.gz

    Example: mts watch backtest --check drift_monitor --from scores.jsonl --chart drift.svg

    Parameters
    ----------
    check
        The watchdog.
    from_
        The recording.
    labels
        JSON: for each unit, windows in which something was wrong, as pairs of times.
    chart
        Where to write the picture (SVG); beside the recording if not given.
    output
        How the result is printed.
    """

    async def work() -> int:
        _try(check, from_, labels, chart, output)
        return PROVEN

    return run(work())


def _try(check: str, from_: Path, labels: Path | None, chart: Path | None, output: Output) -> None:
    known = {one.name: one for one in watchdogs.ALL}
    if check not in known:
        raise Rejected(f"there is no watchdog {check!r}{nearest(check, known)}")
    labelled = read_labels(labels) if labels else {}
    recording = open_recording(from_)
    with Bar(f"{check} reads {from_.name}", of="lines") as bar:
        found = backtests.run(
            known[check], feeds.WATCHDOG, from_, lambda line: bar(line, recording.lines)
        )
    result = summary(found, labelled if labels else None)
    chart = chart or from_.with_name(f"{from_.name}.{check}.svg")
    _write(chart, watch_chart.chart(found, labelled))
    headline("✓", f"chart: {chart}", "green", error=True)
    if output == "table":
        _show(result)
    else:
        write_json(result, output)


def read_labels(file: Path) -> dict[str, list[Window]]:
    """Return labelled windows by unit. Raises Rejected with the form that is wanted."""
    try:
        raw = msgspec.json.decode(read_text(file), type=dict[str, list[tuple[str, str]]])
        return {
            unit: [(parse_rfc3339(begin), parse_rfc3339(end)) for begin, end in windows]
            for unit, windows in raw.items()
        }
    except (msgspec.DecodeError, ValueError) as error:
        raise Rejected(f"{file} has no labels ({error}); write {FORM}") from error


def summary(found: Backtest, labels: dict[str, list[Window]] | None) -> dict[str, Any]:
    """Return what is printed, as one value."""
    states = [each.state for each in found.judged]
    result: dict[str, Any] = {
        "check": found.check,
        "events": found.events,
        "skipped": found.skipped,
        "apart": found.apart,
        "first": rfc3339(found.first_ns),
        "last": rfc3339(found.last_ns),
        "looks": len(states),
        "unknown": states.count("unknown"),
        "units": len({each.unit for each in found.judged}),
        "said": [_said(event) for event in found.said],
        "problems": found.problems,
    }
    if labels is not None:
        days = found.unit_days()
        usable = _usable(found, labels)
        # An alert in a window that began before it could judge is still no false one.
        one = detection(found.episodes(), usable, days)
        false = detection(found.episodes(), labels, days).false
        too_early = sum(map(len, labels.values())) - one.windows
        result["labels"] = {
            "too_early": too_early,
            "windows": one.windows,
            "found": one.found,
            "recall_interval": share_interval(one.found, one.windows),
            "false_positives": false,
            "unit_days": days,
            "false_per_unit_day": false / days if days else None,
            "false_interval": rate_interval(false, days) if days else None,
        }
    return result


def _usable(found: Backtest, labels: dict[str, list[Window]]) -> dict[str, list[Window]]:
    """Return the windows that began after a unit was judged first; all of one that never was."""
    begun = found.begun()
    return {
        unit: [window for window in windows if window[0] >= begun.get(unit, window[0])]
        for unit, windows in labels.items()
    }


def _said(event: Any) -> dict[str, Any]:
    if isinstance(event, FindingRaised | FindingUpdated | FindingCleared):
        what, words = event.subject.rpartition(".")[2], event.data.title
        return {"at": event.data.looked_at, "what": what, "unit": event.subject_id, "words": words}
    words = f"{event.data.kind} of {event.data.scope} {event.data.scope_id}"
    return {
        "at": event.timestamp, "what": "would ask", "unit": event.data.scope_id, "words": words,
    }  # fmt: skip


def _show(result: dict[str, Any]) -> None:
    raised = sum(each["what"] == "raised" for each in result["said"])
    sign, style = ("!", "yellow") if raised else ("✓", "green")
    what = "1 finding" if raised == 1 else f"{raised} findings"
    headline(
        sign, f"{result['check']} would have raised {what}: {result['looks']} looks at "
        f"{result['units']} units, {result['unknown']} of them unknown, {result['events']} events "
        f"from {result['first'][:19]}Z to {result['last'][:19]}Z", style,
    )  # fmt: skip
    said = [row | {"at": f"{row['at'][:19]}Z"} for row in result["said"]]
    write_table(said, {}, {"words": "{}"})
    if result["skipped"]:
        complain("!", f"{result['skipped']} lines are no events and were skipped", "yellow")
    if result["apart"]:
        complain("!", f"{result['apart']} events of drills and canaries were left out", "yellow")
    for problem in result["problems"].values():
        complain("?", problem, "yellow")
    if not result["looks"]:
        complain(
            "?", "it never looked: the recording has none of the events that it needs", "yellow"
        )
    if labels := result.get("labels"):
        low, high = labels["recall_interval"]
        if labels["too_early"]:
            print(f"{labels['too_early']} windows began before it could judge and do not count")
        print(f"{labels['found']} of {labels['windows']} windows found ({low:.2f} to {high:.2f})")
        if labels["false_interval"]:
            least, most = labels["false_interval"]
            print(
                f"{labels['false_per_unit_day']:.4f} false positives per unit-day ({least:.4f} to "
                f"{most:.4f}): {labels['false_positives']} in {labels['unit_days']:.1f}"
            )


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        raise Rejected(f"cannot write {file}: {error}") from error
