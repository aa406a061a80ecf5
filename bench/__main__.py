"""``./dev bench``: measures, and tells it as a table, as JSON, or in docs/benchmarks.md."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.driver import SETTINGS, SIDES, Plan, SideEndedError, measure
from bench.report import as_json, as_markdown, write_into
from definitions.errors import SteploomError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    *,
    quick: Annotated[
        bool, typer.Option(help="One short round: whether it works, no more.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only these settings and sides (may be given more than once): "
            + ", ".join([*(one.name for one in SETTINGS), *SIDES]),
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="How often each side has a turn.")
    ] = None,
    output: Annotated[Literal["table", "json"], typer.Option(help="What stdout gets.")] = "table",
    write: Annotated[bool, typer.Option(help="Write the table into docs/benchmarks.md.")] = False,
    profile: Annotated[
        str | None, typer.Option(metavar="SIDE", help="Profile a side's last turns, on stderr.")
    ] = None,
) -> None:
    """Compares ours, with its record and without, with hand-written workflows and with DBOS."""
    try:
        plan = _plan(quick=quick, only=only or [], rounds=rounds, profile=profile)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    began = time.monotonic()

    def say(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:5.0f} s  {text}\n")
        sys.stderr.flush()

    with tempfile.TemporaryDirectory(prefix="steploom-bench-logs-") as folder:
        try:
            found = measure(plan, Path(folder), say)
        except (SteploomError, SideEndedError) as error:
            sys.stderr.write(f"{error}\n")
            raise typer.Exit(1) from None
        if profile is not None:
            sys.stderr.write((Path(folder) / f"{profile}.log").read_text())
    sys.stdout.write(
        json.dumps(as_json(found), indent=2) if output == "json" else as_markdown(found)
    )
    sys.stdout.write("\n")
    if write:
        write_into(Path(__file__).parents[1] / "docs" / "benchmarks.md", as_markdown(found))


def _plan(*, quick: bool, only: list[str], rounds: int | None, profile: str | None) -> Plan:
    names = {setting.name: setting for setting in SETTINGS}
    unknown = [name for name in only if name not in names and name not in SIDES]
    if profile is not None and profile not in SIDES:
        unknown.append(profile)
    if unknown:
        raise ValueError(f"there is no {', '.join(unknown)}; there are {[*names, *SIDES]}")
    settings = [names[name] for name in only if name in names] or SETTINGS
    sides = [side for side in SIDES if side in only] or SIDES
    if quick:
        return Plan(rounds or 1, 10, {1: 2, 50: 50}, settings, sides, profile)
    return Plan(rounds or 5, 60, {1: 6, 50: 50}, settings, sides, profile)


if __name__ == "__main__":
    app()
