"""The stack of the workflows' tests, for the provider that runs on it."""

from __future__ import annotations

import pytest

from tests.workflows.conftest import stack, workflows_database_url

__all__ = ["stack", "workflows_database_url"]

pytest.register_assert_rewrite(
    "steploom.testing.provider_contract", "steploom.testing.retry_contract"
)
