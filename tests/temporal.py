"""Temporal for tests: one development server for the whole session, in memory, without its UI.

``pytest --workflow-environment HOST:PORT`` uses a server that runs already instead.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from adapters.temporal.binary import find_or_install_temporal
from adapters.temporal.server import TemporalServer
from definitions.names import SEARCH_ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARIABLE = "STEPLOOM_TEST_WORKFLOW_ENVIRONMENT"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--workflow-environment",
        default=os.environ.get(_VARIABLE, "local"),
        metavar="local|HOST:PORT",
        help=f"the Temporal server of the tests: our own, or one that runs (also: {_VARIABLE})",
    )


@pytest.fixture(scope="session")
def temporal_server(request: pytest.FixtureRequest) -> Iterator[TemporalServer | None]:
    """Our server with our search attributes; None if the tests were given another one."""
    if request.config.getoption("--workflow-environment") != "local":
        yield None
        return
    binary = find_or_install_temporal(lambda _: None)
    attributes = dict.fromkeys(SEARCH_ATTRIBUTES, "Keyword")
    log = request.getfixturevalue("tmp_path_factory").mktemp("temporal") / "server.log"
    with TemporalServer(
        binary, headless=True, search_attributes=attributes, log_file=log
    ) as server:
        yield server


@pytest.fixture(scope="session")
def temporal_address(request: pytest.FixtureRequest, temporal_server: TemporalServer | None) -> str:
    """``host:port`` of the session's server."""
    if temporal_server is None:
        return str(request.config.getoption("--workflow-environment"))
    return temporal_server.address
