"""A real Kafka broker for tests of any tier: one node for the whole session, started when needed.

Where there is no Kafka to be had the tests are skipped, but in CI they fail. Each test takes topics
of its own. ``broker`` is for those that stop it or look at what it refuses.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from adapters.kafka.server import KafkaServer, is_there

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _need_kafka() -> None:
    if shutil.which("java") is None:
        _do_without("Kafka needs Java, and there is none on PATH")
    if not is_there() and shutil.which("mvn") is None:
        _do_without("Kafka is not in the cache, and there is no Maven on PATH to fetch it")


def _do_without(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """The session's broker. Whoever stops it starts it again."""
    _need_kafka()
    with KafkaServer(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaServer]:
    """A broker of the test's own, to be stopped, started and killed."""
    _need_kafka()
    with KafkaServer(tmp_path / "kafka") as server:
        yield server


@pytest.fixture
def topic() -> str:
    """The name of a topic that nobody else uses; it is made by its first use."""
    return f"test-{uuid4().hex[:12]}"
