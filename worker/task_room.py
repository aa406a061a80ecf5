"""How much one workflow task may send: what is scheduled and what local activities have answered.

A worker answers a workflow task with one message, which Temporal's server takes up to 4 MiB. One
that is bigger is refused, made again, and refused again, for ever. One that is smaller still ends
the run when it is more than 4 MB together with what came in meanwhile, of which the server holds
back up to 2 MB and what is just coming.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

#: Bytes that one workflow task sends; the message has more beside them.
TASK_BYTES = 1024 * 1024
#: The shortest timer: it ends a workflow task, and the next one begins.
_NEXT_TASK = timedelta(milliseconds=1)


class TaskRoom:
    """Counts the bytes of the current workflow task."""

    def __init__(self) -> None:
        self._task = -1
        self._sent = 0

    async def claim(self, size: int) -> None:
        """Returns when ``size`` bytes fit into the workflow task. The first ones always do."""
        while True:
            self._look()
            if not self._sent or self._sent + size <= TASK_BYTES:
                self._sent += size
                return
            await workflow.sleep(_NEXT_TASK)

    def answered(self, size: int) -> None:
        """Counts what a local activity answered: nobody knew it before."""
        self._look()
        self._sent += size

    def _look(self) -> None:
        # The length of the history is the same throughout a workflow task, and on replay.
        task = workflow.info().get_current_history_length()
        if task != self._task:
            self._task, self._sent = task, 0
