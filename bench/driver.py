"""Starts the sides, lets them take turns, and gathers what they did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from bench.chain import STEPS
from bench.figures import Measured
from bench.servers import running_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.chain import Mode
    from bench.servers import Servers

ROOT = Path(__file__).parents[1]

#: In the order in which they take turns.
SIDES = ("handwritten", "off", "on", "dbos")


class Setting(NamedTuple):
    """What is measured: how the steps run, and how many runs at once."""

    mode: Mode
    at_once: int

    @property
    def name(self) -> str:
        """As one word, for ``--only``."""
        return f"{self.mode}-{self.at_once}"

    def sides(self, chosen: Sequence[str]) -> list[str]:
        """Who takes part. DBOS has no remote steps."""
        return [side for side in chosen if side != "dbos" or self.mode == "local"]


SETTINGS = tuple(Setting(mode, many) for many in (50, 1) for mode in ("local", "remote"))


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done: runs for each side to warm up, and rounds of so many runs for each turn."""

    rounds: int
    warm_up: int
    runs: dict[int, int]
    settings: Sequence[Setting] = SETTINGS
    sides: Sequence[str] = SIDES
    profile: str | None = None


@dataclass(slots=True)
class Found:
    """What came out: turns by setting and side, and the events of one run's history."""

    turns: dict[tuple[Setting, str], list[Measured]] = field(default_factory=dict)
    events: dict[tuple[Mode, str], int] = field(default_factory=dict)
    postgres: str = "?"
    seconds: float = 0.0


class SideEndedError(RuntimeError):
    """A side's process is gone; the message has the end of what it wrote."""


class _Process:
    """A side's process."""

    def __init__(self, side: str, process: subprocess.Popen[str], log: Path) -> None:
        self.side = side
        self._process = process
        self._log = log

    def ask(self, order: dict[str, Any] | None = None) -> dict[str, Any]:
        """Gives an order (None: only listens) and returns the answer."""
        reading, writing = _pipes(self._process)
        if order is not None:
            writing.write(json.dumps(order) + "\n")
            writing.flush()
        line = reading.readline()
        if not line:
            tail = "\n".join(self._log.read_text().splitlines()[-30:])
            raise SideEndedError(f"the side {self.side} has ended:\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Asks it to end, and waits."""
        _pipes(self._process)[1].close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if process.stdout is None or process.stdin is None:
        raise RuntimeError("the process has no pipes")
    return process.stdout, process.stdin


@contextmanager
def _started(side: str, servers: Servers, folder: Path) -> Iterator[_Process]:
    log = folder / f"{side}.log"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("STEPLOOM_", "TEMPORAL_", "OTEL_", "DBOS_"))
    }
    where = [servers.temporal.address, servers.database(side)]
    with log.open("w") as stream:
        child = subprocess.Popen(  # noqa: S603 (our own module)
            [sys.executable, "-m", "bench.child", side, *where],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
    process = _Process(side, child, log)
    try:
        yield process
    finally:
        process.close()


def measure(plan: Plan, folder: Path, say: Callable[[str], None]) -> Found:
    """Does all of a plan. What the sides log is in ``folder``."""
    began = time.monotonic()
    found = Found()
    say("starting Temporal and Postgres")
    with running_servers(plan.sides, say) as servers, ExitStack() as exits:
        found.postgres = servers.version()
        processes: dict[str, _Process] = {}
        for side in plan.sides:
            say(f"starting {side}")
            processes[side] = exits.enter_context(_started(side, servers, folder))
            processes[side].ask()
        _warm_up(plan, processes, say)
        for number in range(plan.rounds):
            for setting in plan.settings:
                for side in setting.sides(plan.sides):
                    last = number == plan.rounds - 1
                    turn, events = _turn(servers, processes[side], plan, setting, last=last)
                    found.turns.setdefault((setting, side), []).append(turn)
                    found.events[setting.mode, side] = events
                    say(
                        f"round {number + 1} of {plan.rounds}, {setting.name}, {side}: "
                        f"{turn.rate:.0f} steps/s"
                    )
    found.seconds = time.monotonic() - began
    return found


def _warm_up(plan: Plan, processes: dict[str, _Process], say: Callable[[str], None]) -> None:
    """Every side does runs of each kind, which nobody counts."""
    modes = dict.fromkeys(setting.mode for setting in plan.settings)
    for mode in modes:
        for side in Setting(mode, 0).sides(plan.sides):
            say(f"warming up {side} with {plan.warm_up} runs of {mode} steps")
            processes[side].ask({"mode": mode, "runs": plan.warm_up, "at_once": 50})


def _turn(
    servers: Servers, process: _Process, plan: Plan, setting: Setting, *, last: bool
) -> tuple[Measured, int]:
    runs = plan.runs[setting.at_once]
    order: dict[str, Any] = {"mode": setting.mode, "runs": runs, "at_once": setting.at_once}
    if last and plan.profile == process.side:
        order["profile"] = True
    given, rows, cpu = servers.given(), servers.rows(process.side), servers.cpu()
    answer = process.ask(order)
    used = {name: seconds - cpu[name] for name, seconds in servers.cpu().items()}
    after = servers.given()
    turn = Measured(
        steps=runs * STEPS,
        seconds=answer["seconds"],
        cpu={"worker": answer["cpu"], **used},
        transactions=after.transactions - given.transactions,
        wal=after.wal - given.wal,
        rows=servers.rows(process.side) - rows,
    )
    return turn, answer["events"]
