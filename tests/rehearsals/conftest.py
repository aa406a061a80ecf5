"""Temporal's test server for the rehearsals of this folder: one with a cache, one without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.rehearsal.on_temporal.session import TemporalRehearsals

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def temporal() -> Iterator[TemporalRehearsals]:
    """A test server and a worker on it."""
    with TemporalRehearsals() as rehearsals:
        yield rehearsals


@pytest.fixture(scope="session")
def uncached() -> Iterator[TemporalRehearsals]:
    """The same, where each workflow task replays the whole history."""
    with TemporalRehearsals(max_cached_workflows=0) as rehearsals:
        yield rehearsals
