"""How much a run may carry with it: all of its state has to fit into one of Temporal's payloads.

A run hands its whole state on when it continues as a new one, and a state that is too big for that
would stop it for ever. So the step whose values would make it too big fails instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.outputs import MAX_STATE_BYTES, MAX_VALUE_BYTES, json_size
from worker.interpreter.host import step_error
from worker.interpreter.packing import packed_size

if TYPE_CHECKING:
    from worker.interpreter.state import Frame, RunState

#: What a state has beside its values, and a step beside its output.
_STATE_ITSELF = 4096
_STEP_ITSELF = 512
#: What no output is told to leave room for, and what every output may have.
_RESERVE = 128 * 1024
LEAST_SHARE = 16 * 1024
#: Looking closely costs as much as handing the state on; so much may be added in between.
_SELDOM = 64 * 1024


class StateBudget:
    """Counts what is added to a state, and looks closely when that could be too much."""

    def __init__(self, state: RunState, room: int = 0) -> None:
        self._state = state
        self._room = room
        self._counted = _SELDOM
        if state.seq == 0 and not state.main.steps:
            begun = 2 * json_size(state.input) + json_size(state.variables)
            self._room = MAX_STATE_BYTES - _STATE_ITSELF - begun

    @property
    def room(self) -> int:
        """How many bytes may be added at least, as far as was looked."""
        return max(0, self._room)

    def spend(self, size: int, what: str, *, leaving: Frame | None = None) -> None:
        """Counts ``size`` bytes that were added. ``leaving``: a frame whose step is at its end.

        Raises:
            StepError: ``PayloadTooLarge``, the state is too big with them. They are to be removed.
        """
        self._room -= size + _STEP_ITSELF
        self._counted += size + _STEP_ITSELF
        if self._room >= 0:
            return
        held = self._look(leaving)
        if held > MAX_STATE_BYTES:
            raise step_error(
                "PayloadTooLarge",
                f"with {what} the run would carry {held} bytes from step to step, at most "
                f"{MAX_STATE_BYTES} are allowed; an output mapping can leave out what is not "
                "needed later",
            )

    def share(self, width: int) -> int:
        """How many bytes the output of each of ``width`` tasks may have that run side by side."""
        if self._room < MAX_STATE_BYTES // 2 and self._counted >= _SELDOM:
            self._look(None)
        share = max(0, self._room - _RESERVE) // width
        return min(max(share, LEAST_SHARE), MAX_VALUE_BYTES)

    def _look(self, leaving: Frame | None) -> int:
        active = leaving.active if leaving is not None else None
        try:
            if leaving is not None:
                leaving.active = None
            held = packed_size(self._state)
        finally:
            if leaving is not None:
                leaving.active = active
        # What is counted more than once, and what was replaced, does not count any more.
        self._room, self._counted = max(0, MAX_STATE_BYTES - held), 0
        return held
