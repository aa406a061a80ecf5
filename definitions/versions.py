"""The order of versions: semantic versioning's (https://semver.org, item 11), pre-releases last.

Who asks for no version gets the highest release; a pre-release is taken only where there is no
release at all. Semantic versioning calls ``1.0.0+a`` and ``1.0.0+b`` equal; here the build text
decides between them, so that "the highest" is always one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import semver

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Whether it is a release, major, minor, patch, the pre-release's identifiers, build.
SortKey: TypeAlias = tuple[bool, int, int, int, tuple[tuple[bool, int, str], ...], str]


def sort_key(version: str) -> SortKey:
    """Compares as the versions do: a greater key is a higher version.

    Raises:
        ValueError: Not a semantic version.
    """
    parsed = semver.Version.parse(version)
    # Numeric identifiers are lower than others; of equal beginnings the shorter one is lower.
    identifiers = tuple(
        (False, int(part), "") if part.isdigit() else (True, 0, part)
        for part in (parsed.prerelease.split(".") if parsed.prerelease else ())
    )
    return (
        parsed.prerelease is None,
        parsed.major,
        parsed.minor,
        parsed.patch,
        identifiers,
        parsed.build or "",
    )


def highest(versions: Iterable[str]) -> str | None:
    """The highest release, else the highest pre-release, else (none given) ``None``.

    Raises:
        ValueError: One of them is not a semantic version.
    """
    return max(versions, key=sort_key, default=None)
