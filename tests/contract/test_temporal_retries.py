"""The provider ``temporal`` with documents whose runs are tried again as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typing_extensions import override

from tests.contract.documents import Retried, provider_for

if TYPE_CHECKING:
    from steploom.providers.temporal import TemporalProvider
    from tests.workflows.stack import Stack


class TestTemporalRetries(Retried):
    """Documents, run by the interpreter, each by one that tries it again."""

    @pytest.fixture
    async def provider(self, stack: Stack) -> TemporalProvider:
        """The provider of the org ``default``."""
        return await provider_for(stack)

    @override
    @pytest.fixture
    async def reopened(self, stack: Stack) -> TemporalProvider:
        """Another one, as after a restart."""
        return await provider_for(stack)
