"""The registry of providers: ours, those of other distributions, and what it says of others."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import pytest

from definitions.errors import NotFoundError
from definitions.providers.errors import AlreadyExistsError, ProviderError, ProviderNotFoundError
from definitions.providers.port import ProviderContext
from steploom.providers import registry
from steploom.providers.registry import load_providers
from tests.unit.cli import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli import Run

__all__ = ["run"]


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has other distributions name these entry points."""

    def give(**places: str) -> None:
        found = [EntryPoint(name, place, registry.ENTRY_POINT) for name, place in places.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: found if group else [])

    return give


def test_there_are_ours() -> None:
    """By the names that a spec gives."""
    assert list(load_providers().origins) == ["step-functions", "temporal"]


def test_an_unknown_type_names_those_there_are(entries: Callable[..., None]) -> None:
    """Those of other distributions among them."""
    entries(mine="tests.unit.test_provider_registry:opened")
    with pytest.raises(ProviderNotFoundError) as caught:
        load_providers().open("temporel", ProviderContext())
    assert isinstance(caught.value, NotFoundError)
    assert caught.value.message == "provider 'temporel' not found"
    assert caught.value.hint == "there are mine, step-functions, temporal"


def opened(context: ProviderContext) -> ProviderContext:
    """What an entry point may name."""
    return context


def test_an_entry_point_is_a_provider(entries: Callable[..., None]) -> None:
    """Its factory is called with the context."""
    entries(mine="tests.unit.test_provider_registry:opened")
    context = ProviderContext(org="acme")
    assert load_providers().open("mine", context) is context  # type: ignore[comparison-overlap]


def test_two_of_one_name_are_refused(entries: Callable[..., None]) -> None:
    """Nobody takes the place of ours."""
    entries(temporal="elsewhere:opened")
    with pytest.raises(AlreadyExistsError, match="two providers 'temporal'"):
        load_providers()


@pytest.mark.parametrize("place", ["no_such_module:opened", "steploom.providers.registry:nothing"])
def test_one_that_cannot_be_loaded_says_so(entries: Callable[..., None], place: str) -> None:
    """When it is opened; the others are there all the same."""
    entries(broken=place)
    providers = load_providers()
    assert "temporal" in providers.origins
    with pytest.raises(ProviderError, match=r"'broken'.*cannot be loaded"):
        providers.open("broken", ProviderContext())


def test_the_command_lists_them(entries: Callable[..., None], run: Run) -> None:
    """With where each comes from; it needs no services."""
    entries(mine="elsewhere:opened")
    shown = run("providers", "list", "--output", "json")
    assert shown.exit_code == 0
    assert json.loads(shown.stdout) == [
        {"providerType": "mine", "from": "elsewhere:opened"},
        {"providerType": "step-functions", "from": "steploom"},
        {"providerType": "temporal", "from": "steploom"},
    ]
    assert "step-functions" in run("providers", "list").stdout
