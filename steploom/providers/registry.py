"""Which providers there are: ours, and what other distributions name as entry points.

An entry point of the group ``steploom.providers`` has the provider's type as its name, and names a
``definitions.providers.port.ProviderFactory``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from definitions.errors import SteploomError
from definitions.providers.errors import AlreadyExistsError, ProviderError, ProviderNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from definitions.providers.port import ProviderContext, ProviderFactory, WorkflowProvider

ENTRY_POINT = "steploom.providers"
TEMPORAL = "temporal"
STEP_FUNCTIONS = "step-functions"

#: Imported when one is opened, so that nobody pays for an engine that they do not use.
_OURS = {
    TEMPORAL: "steploom.providers.temporal:open_provider",
    STEP_FUNCTIONS: "adapters.stepfunctions.opening:open_provider",
}


class ProviderRegistry:
    """Providers by their type."""

    def __init__(self) -> None:
        self._loaders: dict[str, Callable[[], ProviderFactory]] = {}
        self._origins: dict[str, str] = {}

    def add(self, provider_type: str, load: Callable[[], ProviderFactory], origin: str) -> None:
        """Makes a provider known. ``origin``: where it comes from, for people.

        Raises:
            AlreadyExistsError: There is one of this type.
        """
        before = self._origins.get(provider_type)
        if before is not None:
            raise AlreadyExistsError(
                f"there are two providers {provider_type!r}: {before} and {origin}",
                hint="uninstall one of them, or give it another name",
            )
        self._loaders[provider_type] = load
        self._origins[provider_type] = origin

    @property
    def origins(self) -> dict[str, str]:
        """Every type, sorted, with where it comes from."""
        return dict(sorted(self._origins.items()))

    def open(
        self, provider_type: str, context: ProviderContext
    ) -> AbstractAsyncContextManager[WorkflowProvider]:
        """A provider, open while the ``async with`` is.

        Raises:
            ProviderNotFoundError: There is none of this type; the hint names those that there are.
            ProviderError: It cannot be loaded.
        """
        load = self._loaders.get(provider_type)
        if load is None:
            raise ProviderNotFoundError(
                "provider", provider_type, hint=f"there are {', '.join(self.origins)}"
            )
        try:
            factory = load()
        except SteploomError:
            raise
        except Exception as error:
            raise ProviderError(
                f"the provider {provider_type!r} ({self._origins[provider_type]}) cannot be "
                f"loaded: {type(error).__name__}: {error}"
            ) from error
        return factory(context)


def load_providers() -> ProviderRegistry:
    """Our providers and those of the installed distributions.

    Raises:
        AlreadyExistsError: Two have the same type.
    """
    registry = ProviderRegistry()
    for name, place in _OURS.items():
        registry.add(name, _loader(place), "steploom")
    for entry in sorted(entry_points(group=ENTRY_POINT), key=lambda one: (one.name, one.value)):
        registry.add(entry.name, entry.load, entry.dist.name if entry.dist else entry.value)
    return registry


def _loader(place: str) -> Callable[[], ProviderFactory]:
    def load() -> ProviderFactory:
        module, _, name = place.partition(":")
        factory: ProviderFactory = getattr(import_module(module), name)
        return factory

    return load
