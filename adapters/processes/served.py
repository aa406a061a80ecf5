"""What the servers that we start ourselves have in common: they run as a child, until stopped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from adapters.processes.child import Child


class ServedChild(ABC):
    """A server in a process of its own. As a context manager it runs inside of the block."""

    _child: Child | None = None

    @abstractmethod
    def start(self) -> Self:
        """Start it, and wait until it serves.

        Raises:
            UnreachableError: It does not start.
        """

    @property
    def pid(self) -> int:
        """Its process id, while it runs and is ours."""
        if self._child is None:
            raise RuntimeError("the server does not run")
        return self._child.pid

    def poll(self) -> int | None:
        """Its exit code if it has ended by itself, else None."""
        return None if self._child is None else self._child.poll()

    def stop(self) -> None:
        """Stop it, with a kill if it takes too long. Twice does no harm."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """End it as a crash does. Twice does no harm."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
