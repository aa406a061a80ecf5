"""The payload store in a bucket: ``s3://bucket/prefix``, each object ``prefix/<org>/<sha256>``.

Where it is, and who we are there, is the AWS SDK's own configuration: ``AWS_ENDPOINT_URL_S3``,
``AWS_REGION``, ``AWS_ACCESS_KEY_ID`` and all the rest. The SDK blocks, so it is called in threads;
it tries again by itself before it gives up.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from definitions.errors import NotFoundError, SteploomError, UnreachableError
from definitions.ports import StoredPayload

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError as error:
    raise SteploomError(
        "a payload store in S3 needs boto3, which is not installed",
        hint="install steploom with the extra `aws`",
    ) from error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime
    from uuid import UUID

    from mypy_boto3_s3 import S3Client

_T = TypeVar("_T")
_URL = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")
_HASH = re.compile(r"[0-9a-f]{64}")
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_CONFIG = Config(
    connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 4}
)


class _MissingError(Exception):
    """There is no such object."""


class S3Payloads:
    """The ``definitions.ports.PayloadStore`` in a bucket."""

    def __init__(self, url: str) -> None:
        """Connects to nothing yet.

        Raises:
            SteploomError: It is no such URL, or the SDK lacks a part of its configuration.
        """
        match = _URL.fullmatch(url)
        if match is None:
            raise SteploomError(
                f"{url!r} is no bucket", hint="STEPLOOM_PAYLOADS is s3://bucket/prefix"
            )
        self._url = url
        self._bucket = match["bucket"]
        prefix = (match["prefix"] or "").strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        try:
            self._client: S3Client = boto3.client("s3", config=_CONFIG)
        except (BotoCoreError, ValueError) as error:
            raise SteploomError(
                f"the payload store {url} cannot be used: {error}",
                hint="AWS_REGION and the other variables of the AWS SDK say how",
            ) from error

    async def put(self, org_id: UUID, sha256: str, content: bytes) -> None:
        """Stores bytes under their hash; what is there already becomes as new."""
        await self._do(
            lambda: self._client.put_object(
                Bucket=self._bucket,
                Key=self._key(org_id, sha256),
                Body=content,
                ContentType="application/json",
            )
        )

    async def get(self, org_id: UUID, sha256: str) -> bytes:
        """What was stored under a hash."""

        def read() -> bytes:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(org_id, sha256))
            return answer["Body"].read()

        try:
            return await self._do(read)
        except _MissingError:
            raise NotFoundError("payload", sha256) from None

    async def stored(self, org_id: UUID) -> AsyncIterator[StoredPayload]:
        """Everything that an org has stored."""
        begin = self._key(org_id, "")
        token: dict[str, Any] = {}
        while True:
            page = await self._do(
                partial(self._client.list_objects_v2, Bucket=self._bucket, Prefix=begin, **token)
            )
            for found in page.get("Contents", ()):
                name = found["Key"].removeprefix(begin)
                if _HASH.fullmatch(name):
                    yield StoredPayload(name, found["Size"], found["LastModified"])
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    async def remove(self, org_id: UUID, sha256: str, *, before: datetime) -> bool:
        """Removes what was last put there before a time; returns whether it did."""
        # S3 cannot remove on a condition: who stores the same in the moment between these two
        # requests loses it. Only what is old and nobody's is ever removed.
        bucket, key = self._bucket, self._key(org_id, sha256)
        try:
            found = await self._do(lambda: self._client.head_object(Bucket=bucket, Key=key))
        except _MissingError:
            return False
        if found["LastModified"] >= before:
            return False
        await self._do(lambda: self._client.delete_object(Bucket=bucket, Key=key))
        return True

    def _key(self, org_id: UUID, sha256: str) -> str:
        return f"{self._prefix}{org_id}/{sha256}"

    async def _do(self, function: Callable[[], _T]) -> _T:
        try:
            return await asyncio.to_thread(function)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _MISSING:
                raise _MissingError from error
            raise self._unreachable(error) from error
        except (BotoCoreError, OSError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> UnreachableError:
        return UnreachableError(
            "the payload store",
            f"the payload store {self._url} cannot be used: {error}",
            hint="see STEPLOOM_PAYLOADS and the variables of the AWS SDK",
        )
