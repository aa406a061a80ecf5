"""``providers``: the engines that executions can be started on."""

from __future__ import annotations

from typing import Any

from steploom.cli.options import OutputOption
from steploom.cli.output import Format, Output


def list_providers(output: OutputOption = Format.TABLE) -> None:
    """List the providers, ours and those of other distributions, and where each comes from."""
    from steploom.providers.registry import load_providers  # noqa: PLC0415 (as all of these)

    found = load_providers().origins

    def show() -> Any:
        from steploom.cli.tables import table  # noqa: PLC0415 (rich only for people)

        shown = table("PROVIDER", "FROM")
        for name, origin in found.items():
            shown.add_row(name, origin)
        return shown

    Output(output).results(
        [{"providerType": name, "from": origin} for name, origin in found.items()], show
    )
