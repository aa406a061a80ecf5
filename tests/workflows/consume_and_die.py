"""A consumer that is killed when it is about to commit: what it started is started already."""

from __future__ import annotations

import os
import signal

from aiokafka import AIOKafkaConsumer

from steploom.cli.app import main


async def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


AIOKafkaConsumer.commit = _die
main()
