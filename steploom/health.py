"""``python -m steploom.health``: exit code 0 while the worker of this machine takes tasks.

For the health check of a container: a worker has no port to ask, and that its process lives says
little. Temporal knows whether it still asks for work.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from datetime import timedelta

from temporalio.service import RPCError

from adapters.temporal.connection import connect
from adapters.temporal.pollers import pollers
from definitions.errors import SteploomError
from worker.connections import temporal_connection
from worker.settings import Settings

#: Twice the length of a long poll.
_WITHIN = timedelta(minutes=2)


async def is_well(settings: Settings) -> bool:
    """Whether a worker of this host asked Temporal for work lately.

    Raises:
        UnreachableError: Temporal does not answer.
        RPCError: It does not answer to this question.
    """
    client = await connect(temporal_connection(settings))
    host = socket.gethostname()
    names = await pollers(client, settings.task_queue, within=_WITHIN)
    return any(name.endswith(f"@{host}") for name in names)


def main() -> int:
    """The exit code for the container's engine; the reason goes to stderr, which it keeps."""
    try:
        if asyncio.run(is_well(Settings())):
            return 0
        sys.stderr.write("no worker of this host takes tasks\n")
    except (SteploomError, RPCError) as error:
        sys.stderr.write(f"{error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
