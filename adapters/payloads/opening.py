"""The payload store that a setting names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adapters.payloads.files import FilePayloads

if TYPE_CHECKING:
    from definitions.ports import PayloadStore


def open_payloads(setting: str | None) -> PayloadStore | None:
    """The store, or None where none is set.

    Args:
        setting: A directory, or ``s3://bucket/prefix``.

    Raises:
        SteploomError: It cannot be used as it is set.
    """
    if not setting:
        return None
    if setting.startswith("s3://"):
        from adapters.payloads.s3 import S3Payloads  # noqa: PLC0415 (boto3 is an extra)

        return S3Payloads(setting)
    return FilePayloads(Path(setting).expanduser().absolute())
