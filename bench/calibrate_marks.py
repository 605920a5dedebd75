"""What chance does to the watchdogs that are right by construction: theta, feeds, the database.

They compare what was said with a limit, so they are wrong only where what was said is. A
fund-year is 1,764 looks (seven a day) at a net theta whose quotes are off by 3 % of a null, as
those of two models of the same options are; a feed-day is 10,000 messages.
"""

import numpy as np
from real_data import DATA, ticks

from bench.nulls import NULLS, YEAR
from operations.watchdogs.conditions import KINDS
from operations.watchdogs.feeds import FeedLimits
from operations.watchdogs.theta_watchdog import ThetaLimits

TITLE = "Options, feeds and the database: theta_watchdog, data_fault, db_watchdog"
NEWLINE = "\n"
LOOKS_A_DAY, ERROR = 7, 0.03
NEAR = (0.80, 0.85, 0.90, 0.95, 0.99)  # true theta, as parts of the limit
BEYOND = (1.02, 1.05, 1.10, 1.25, 1.50)
MESSAGES, WINDOW = 10_000, KINDS["trades"].window
CHANCES = (0.0001, 0.001, 0.002, 0.005)
BROKEN = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
REAL = ("spy_20131007_trade", "bac_20131007_trade", "ibm_20131007_trade")
CHUNK = 500
THETA, FEED = ThetaLimits(), FeedLimits()


def theta_episodes(pct: np.ndarray, limits: ThetaLimits = THETA) -> np.ndarray:
    """Count episodes of theta_watchdog for each row of net theta, in percent of NAV."""
    raised, counts = np.zeros(len(pct), bool), np.zeros(len(pct), int)
    for size in np.abs(pct).T:
        begins = ~raised & (size >= limits.enter_pct)
        counts += begins
        raised = (raised | begins) & ~(size < limits.exit_pct)
    return counts


def quoted(null: str, units: int, part: float, looks: int = YEAR * LOOKS_A_DAY) -> np.ndarray:
    """Draw quotes of a net theta that is truly such a part of its limit, in percent of NAV."""
    errors = ERROR * NULLS[null](np.random.default_rng(11), units, looks)
    return -THETA.enter_pct * part * (1 + errors)


def faults_in_window(wrong: np.ndarray) -> np.ndarray:
    """Return at each message how many of the last hundred were wrong, shape (units, messages)."""
    sums = np.cumsum(np.pad(wrong, ((0, 0), (WINDOW, 0))), axis=1, dtype=np.int32)
    return sums[:, WINDOW:] - sums[:, :-WINDOW]


def feed_episodes(wrong: np.ndarray, limits: FeedLimits = FEED) -> np.ndarray:
    """Count episodes of data_fault for each row of messages that are wrong (True) or not."""
    faults = faults_in_window(wrong)
    counts = np.zeros(len(wrong), int)
    for unit in np.flatnonzero((faults >= limits.faulty_messages).any(axis=1)):
        begins = np.flatnonzero(faults[unit] >= limits.faulty_messages)
        clears = np.flatnonzero(faults[unit] == 0)
        place = 0
        while begins[begins >= place].size:
            counts[unit] += 1
            after = clears[clears > begins[begins >= place][0]]
            place = after[0] if after.size else wrong.shape[1]
    return counts


def theta_section(units: int) -> str:
    """Return what theta_watchdog does near its limit and beyond it."""
    wrong, right = [], []
    for part in NEAR:
        cells = []
        for null in NULLS:
            one = theta_episodes(quoted(null, units, part))
            cells.append(f"{one.mean():.3f} ({one.std() / np.sqrt(one.size):.3f})")
        wrong.append(f"| {part:.0%} | {' | '.join(cells)} |")
    for part in BEYOND:
        size = np.abs(quoted("t(4)", units, part, LOOKS_A_DAY)) >= THETA.enter_pct
        right.append(f"| {part:.0%} | {size[:, 0].mean():.1%} | {size.any(axis=1).mean():.1%} |")
    return f"""### theta_watchdog

With right marks it is right: from the limit on it is a breach at the first look, below it is none
(tested at, below and above the limit). But two models of the same options differ by 3 %. Episodes
per fund-year of {YEAR * LOOKS_A_DAY:,} looks with marks that are off by so much, {units:,}
fund-years each, of a fund with one position (errors of several average out); Monte-Carlo error in
brackets. Budget: 1 per fund-year. It holds up to 85 % of the limit under each null: nearer, a
theta that is 10 % off is at the limit. Hysteresis (an episode ends below
{THETA.exit_pct / THETA.enter_pct:.0%} of the limit) keeps those few.

| true theta, of the limit | {" | ".join(NULLS)} |
|---|---|---|---|
{NEWLINE.join(wrong)}

| true theta, of the limit | found at the first look | within a day |
|---|---|---|
{NEWLINE.join(right)}

Errors of t(4). Floor: 110 % of the limit is found at the first look in at least .9, within a day in
all."""


def feed_section(units: int) -> str:
    """Return what data_fault does on feeds that are well and on broken ones."""
    random = np.random.default_rng(12)
    wrong, right = [], []
    for chance in CHANCES:
        one = np.concatenate([
            feed_episodes(random.random((CHUNK, MESSAGES), np.float32) < chance)
            for _ in range(0, units, CHUNK)
        ])  # fmt: skip
        error = one.std() / np.sqrt(one.size)
        wrong.append(f"| {chance:.2%} | {one.mean():.5f} ({error:.5f}) |")
    for chance in BROKEN:
        hits = faults_in_window(random.random((units, 1000), np.float32) < chance)
        found = hits >= FEED.faulty_messages
        after = np.where(found.any(axis=1), found.argmax(axis=1) + 1.0, np.inf)
        middle = np.median(after)
        delay = f"{middle:.0f}" if np.isfinite(middle) else "more than 1,000"
        parts = f"{np.mean(after <= 100):.1%} | {np.mean(after <= 1000):.1%}"
        right.append(f"| {chance:.0%} | {parts} | {delay} |")
    return f"""### data_fault

A feed that is well repeats, loses and misdates nothing, so nothing is found: 0 by construction.
Where single messages are wrong by chance, five of a hundred make an episode; {units:,} feed-days of
{MESSAGES:,} messages each, Monte-Carlo error in brackets. Faults are drawn one by one and not from
returns: those that come together are what is looked for.

| wrong messages | episodes a day |
|---|---|
{NEWLINE.join(wrong)}

| of a broken feed are wrong | found in 100 messages | in 1,000 | median delay, messages |
|---|---|---|---|
{NEWLINE.join(right)}

Floor: one wrong message in five is found within 100 messages in at least .95.

{_unchanged()}

Silence is found by the clock alone, after five days (news: three missed beats)."""


def _unchanged() -> str:
    if not DATA.exists():
        return "How often real trades repeat themselves was not measured: no data at hand."
    lines = []
    for name in REAL:
        prices, sizes = ticks(name)
        same = (np.diff(prices) == 0) & (np.diff(sizes) == 0)
        ends = np.flatnonzero(~np.concatenate([[False], same, [False]]))
        longest = int(np.diff(ends).max()) - 1
        lines.append(f"| {name[:3].upper()} | {prices.size:,} | {same.mean():.1%} | {longest} |")
    return f"""Stopped: {FEED.unchanged_trades} trades in a row like the one before. Of a real day:

| | trades | like the one before | most in a row |
|---|---|---|---|
{NEWLINE.join(lines)}"""


def section(units: int) -> str:
    """Return this group's part of docs/calibration.md."""
    return f"""{theta_section(units)}

{feed_section(units)}

### db_watchdog

0 by construction: log, read models and warehouses are compared at one place in the stream, by
counts and hashes that are equal or are not, and a statement is older than its limit or is not. What
it finds is what was measured, at the first measurement of which it is true; the tests stand on both
sides of each limit."""
