"""What came out, as JSON and as the tables of docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from bench.chain import STEPS
from bench.figures import per_step, ratios, spread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.driver import Found, Setting
    from bench.figures import Measured, Spread

_PART = re.compile(r"(<!-- measured -->\n)(.*?)(<!-- end of measured -->)", re.DOTALL)

NAMES = {
    "handwritten": "hand-written, no record",
    "off": "steploom, recording off",
    "on": "steploom",
    "dbos": "DBOS",
}
#: What is compared with what: setting's mode, ours, theirs, and the ratio that is to be reached.
BARS = (
    ("local", "on", "off", 0.85),
    ("remote", "on", "off", 0.85),
    ("local", "on", "handwritten", 0.8),
    ("remote", "on", "handwritten", 0.85),
    ("local", "on", "dbos", 1.0),
)


def machine(found: Found) -> str:
    """The machine and the versions, without its name."""
    parts = [
        f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}",
        f"Python {platform.python_version()}",
        f"Temporal SDK {version('temporalio')} on its development server",
        f"Postgres {found.postgres}",
        f"DBOS {version('dbos')}",
    ]
    return ", ".join(parts)


def as_json(found: Found) -> dict[str, Any]:
    """Everything that was measured, round by round."""
    return {
        "machine": machine(found),
        "seconds": round(found.seconds, 1),
        "turns": [
            {
                "setting": setting.name,
                "side": side,
                "rounds": [
                    {
                        "steps": turn.steps,
                        "seconds": turn.seconds,
                        "stepsPerSecond": turn.rate,
                        "cpuSeconds": turn.cpu,
                        "transactions": turn.transactions,
                        "rows": turn.rows,
                        "walBytes": turn.wal,
                    }
                    for turn in turns
                ],
            }
            for (setting, side), turns in found.turns.items()
        ],
        "events": [
            {"mode": mode, "side": side, "perRun": count}
            for (mode, side), count in found.events.items()
        ],
        "ratios": [
            {
                "setting": setting.name,
                "ours": ours,
                "theirs": theirs,
                "bar": bar,
                "median": r.median,
            }
            for setting, ours, theirs, bar, r in _ratios(found)
        ],
    }


def as_markdown(found: Found) -> str:
    """The tables."""
    sections = [f"{machine(found)}; {found.seconds / 60:.1f} minutes in all."]
    for setting in dict.fromkeys(setting for setting, _ in found.turns):
        runs = "1 run at a time" if setting.at_once == 1 else f"{setting.at_once} runs at once"
        sections.append(f"**{setting.mode.capitalize()} steps, {runs}**")
        sections.append("\n".join(_rates(found, setting)))
    lines = list(_bars(found))
    if lines:
        sections.append("**Ratios**, made within each round (median, lowest to highest)")
        sections.append("\n".join(["| setting | ratio | is | aim |", "|---|---|---|---|", *lines]))
    sections.append("**Events in Temporal's history of one run** of ten steps")
    sections.append("\n".join(_events(found)))
    return "\n\n".join(sections)


def _rates(found: Found, setting: Setting) -> list[str]:
    head = (
        "| side | steps/s (lowest to highest) | CPU ms a step: worker | Temporal | Postgres "
        "| commits a step | rows a step | WAL KiB a step |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for (one, side), turns in found.turns.items():
        if one != setting:
            continue
        rate = spread([turn.rate for turn in turns])
        cpu = [_mean(turns, _cpu(name), 1000) for name in ("worker", "temporal", "postgres")]
        lines.append(
            f"| {NAMES[side]} | {_told(rate, 0)} | {' | '.join(cpu)} "
            f"| {_mean(turns, lambda turn: turn.transactions)} "
            f"| {_mean(turns, lambda turn: turn.rows)} "
            f"| {_mean(turns, lambda turn: turn.wal, 1 / 1024)} |"
        )
    return lines


def _cpu(name: str) -> Callable[[Measured], float]:
    return lambda turn: turn.cpu.get(name, 0.0)


def _mean(turns: list[Measured], of: Callable[[Measured], float], factor: float = 1.0) -> str:
    """The median of the rounds, for each step."""
    return f"{spread([per_step(of(turn), turn.steps) for turn in turns]).median * factor:.2f}"


def _ratios(found: Found) -> list[tuple[Setting, str, str, float, Spread]]:
    result = []
    for setting in dict.fromkeys(setting for setting, _ in found.turns):
        for mode, ours, theirs, bar in BARS:
            mine, other = found.turns.get((setting, ours)), found.turns.get((setting, theirs))
            if mode == setting.mode and mine and other:
                rates = [turn.rate for turn in mine], [turn.rate for turn in other]
                result.append((setting, ours, theirs, bar, ratios(*rates)))
    return result


def _bars(found: Found) -> list[str]:
    return [
        f"| {setting.mode}, {setting.at_once} at once | {NAMES[ours]} / {NAMES[theirs]} "
        f"| {_told(ratio, 2)} | {bar:.2f}{'' if ratio.median >= bar else ' (missed)'} |"
        for setting, ours, theirs, bar, ratio in _ratios(found)
    ]


def _events(found: Found) -> list[str]:
    lines = ["| steps | side | events a run | events a step |", "|---|---|---|---|"]
    for (mode, side), count in found.events.items():
        if side != "dbos":
            lines.append(f"| {mode} | {NAMES[side]} | {count} | {count / STEPS:.1f} |")
    return lines


def _told(one: Spread, digits: int) -> str:
    return f"{one.median:.{digits}f} ({one.lowest:.{digits}f} to {one.highest:.{digits}f})"


def write_into(page: Path, table: str) -> None:
    """Puts a table between the markers of a page, with the command that made it.

    Raises:
        ValueError: The page has no markers.
    """
    text = page.read_text()
    command = " ".join(["./dev bench", *sys.argv[1:]])
    part = f"`{command}`\n\n{table}\n"
    made, count = _PART.subn(lambda match: f"{match[1]}\n{part}\n{match[3]}", text)
    if count != 1:
        raise ValueError(f"{page} has no place for the table")
    page.write_text(made)
