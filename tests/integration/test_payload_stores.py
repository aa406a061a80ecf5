"""The payload stores, in files and in S3 (moto's server): the same rules for both."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from moto.server import ThreadedMotoServer

from adapters.payloads import files
from adapters.payloads.files import FilePayloads
from adapters.payloads.opening import open_payloads
from adapters.payloads.s3 import S3Payloads
from definitions.errors import NotFoundError, SteploomError, UnreachableError
from definitions.identity import org_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.ports import PayloadStore, StoredPayload

ROOT = Path(__file__).parents[2]
MINE, OTHER = org_id("acme"), org_id("globex")
CONTENT = b'{"a":1}'
NAME = hashlib.sha256(CONTENT).hexdigest()
BUCKET = "big-values"


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """A server that speaks S3, with an empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        yield endpoint
    finally:
        server.stop()


@pytest.fixture
def s3_environment(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The AWS SDK's variables for it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    client = boto3.client("s3")
    if BUCKET not in [one["Name"] for one in client.list_buckets()["Buckets"]]:
        where = {"LocationConstraint": "eu-central-1"}
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)  # type: ignore[arg-type]
    return s3_endpoint


@pytest.fixture(params=["files", "s3", "s3-with-prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> PayloadStore:
    """An empty store."""
    if request.param == "files":
        return FilePayloads(tmp_path / "payloads")
    request.getfixturevalue("s3_environment")
    prefix = f"/{tmp_path.name}/deep/" if request.param == "s3-with-prefix" else ""
    client = boto3.client("s3")
    for found in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=found["Key"])
    return S3Payloads(f"s3://{BUCKET}{prefix}")


async def listed(store: PayloadStore, org: object = MINE) -> list[StoredPayload]:
    return [one async for one in store.stored(org)]  # type: ignore[arg-type]


async def test_what_is_stored_is_found_by_its_org_alone(store: PayloadStore) -> None:
    """Another org's is not there, whoever knows its hash."""
    await store.put(MINE, NAME, CONTENT)
    assert await store.get(MINE, NAME) == CONTENT
    for org, name in ((OTHER, NAME), (MINE, "0" * 64)):
        with pytest.raises(NotFoundError):
            await store.get(org, name)
    [one] = await listed(store)
    assert (one.sha256, one.size) == (NAME, len(CONTENT))
    assert abs(one.stored_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert await listed(store, OTHER) == []


async def test_only_what_is_old_is_removed(store: PayloadStore) -> None:
    """By the time of the last store, so that who stores it again can rely on it."""
    now = datetime.now(UTC)
    await store.put(MINE, NAME, CONTENT)
    await store.put(MINE, NAME, CONTENT)
    assert not await store.remove(MINE, NAME, before=now - timedelta(minutes=5))
    assert not await store.remove(OTHER, NAME, before=now + timedelta(minutes=5))
    assert await store.get(MINE, NAME) == CONTENT
    assert await store.remove(MINE, NAME, before=now + timedelta(minutes=5))
    assert not await store.remove(MINE, NAME, before=now + timedelta(minutes=5))
    with pytest.raises(NotFoundError):
        await store.get(MINE, NAME)


async def test_many_are_listed(s3_environment: str) -> None:
    """More than S3 lists in one answer."""
    store = S3Payloads(f"s3://{BUCKET}/many")
    client = boto3.client("s3")
    names = {hashlib.sha256(str(number).encode()).hexdigest() for number in range(1_050)}
    await asyncio.to_thread(
        lambda: [
            client.put_object(Bucket=BUCKET, Key=f"many/{MINE}/{name}", Body=b"1") for name in names
        ]
    )
    await asyncio.to_thread(client.put_object, Bucket=BUCKET, Key=f"many/{MINE}/README", Body=b"1")
    assert {one.sha256 for one in await listed(store)} == names


async def test_a_store_that_does_not_answer(
    s3_environment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error for all of it, that says which store and what to look at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{taken.getsockname()[1]}")
        away = S3Payloads(f"s3://{BUCKET}")
        with pytest.raises(UnreachableError, match=f"s3://{BUCKET} cannot be used"):
            await away.put(MINE, NAME, CONTENT)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_environment)
    nowhere = S3Payloads("s3://no-such-bucket")
    with pytest.raises(UnreachableError, match="NoSuchBucket"):
        await nowhere.put(MINE, NAME, CONTENT)
    with pytest.raises(UnreachableError, match="NoSuchBucket"):
        await nowhere.get(MINE, NAME)
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    in_the_way = FilePayloads(blocked)
    with pytest.raises(UnreachableError, match="Not a directory"):
        await in_the_way.put(MINE, NAME, CONTENT)
    with pytest.raises(UnreachableError, match="Not a directory"):
        await in_the_way.get(MINE, NAME)


async def test_a_damaged_file_is_stored_anew(tmp_path: Path) -> None:
    """Who stores what is there in another shape does not rely on it."""
    store = FilePayloads(tmp_path)
    await store.put(MINE, NAME, CONTENT)
    [file] = tmp_path.rglob(f"{NAME}.json")  # noqa: ASYNC240 (a folder of three files)
    file.write_bytes(b"{}")
    await store.put(MINE, NAME, CONTENT)
    assert await store.get(MINE, NAME) == CONTENT
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir()] == [file.name]


async def test_who_stores_a_value_while_it_is_removed_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is moved away before it is judged for good, and moved back if it is young."""
    store = FilePayloads(tmp_path)
    await store.put(MINE, NAME, CONTENT)
    [file] = tmp_path.rglob(f"{NAME}.json")  # noqa: ASYNC240 (a folder of one file)
    os.utime(file, (0, 0))
    before = datetime.now(UTC) - timedelta(days=1)
    rename = Path.rename

    def meanwhile(self: Path, target: Path) -> Path:
        os.utime(self)
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", meanwhile)
        assert not await store.remove(MINE, NAME, before=before)
    assert await store.get(MINE, NAME) == CONTENT


async def test_what_a_crash_leaves_is_tidied_up(tmp_path: Path) -> None:
    """A half-written file goes when it is old; a young one that was moved away is back."""
    store = FilePayloads(tmp_path)
    await store.put(MINE, NAME, CONTENT)
    [file] = tmp_path.rglob(f"{NAME}.json")  # noqa: ASYNC240 (as above)
    young, old = file.with_name(f"{NAME}.1.part"), file.with_name(f"{NAME}.2.part")
    young.write_bytes(b"{")
    old.write_bytes(b"{")
    condemned = file.with_name(f"{NAME}.3{files._CONDEMNED}")
    file.rename(condemned)
    os.utime(old, (0, 0))
    await listed(store)
    assert [one.sha256 for one in await listed(store)] == [NAME]
    assert young.exists()
    assert not old.exists()
    assert not condemned.exists()


_CRASH = """
import asyncio, os, pathlib, signal, sys
from uuid import UUID
from adapters.payloads.files import FilePayloads
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(pathlib.Path, "replace", die)
asyncio.run(FilePayloads(pathlib.Path(sys.argv[1])).put(UUID(sys.argv[2]), sys.argv[3], b"[1]"))
"""


async def test_a_writer_that_is_killed_leaves_no_half_a_value(tmp_path: Path) -> None:
    """What it has written has no name that anybody looks for."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _CRASH, str(tmp_path), str(MINE), NAME],
        cwd=ROOT,
        check=False,
    )
    assert done.returncode < 0
    store = FilePayloads(tmp_path)
    assert await listed(store) == []
    with pytest.raises(NotFoundError):
        await store.get(MINE, NAME)


def test_the_setting_says_which(s3_environment: str, tmp_path: Path) -> None:
    """A directory, a bucket, or nothing."""
    assert open_payloads(None) is None
    assert open_payloads("") is None
    assert isinstance(open_payloads(str(tmp_path)), FilePayloads)
    assert isinstance(open_payloads(f"s3://{BUCKET}/prefix"), S3Payloads)
    for wrong in ("s3://", "s3:///prefix", "s3://Capital"):
        with pytest.raises(SteploomError, match="is no bucket"):
            open_payloads(wrong)


def test_without_boto3_a_bucket_is_refused_with_what_to_install(tmp_path: Path) -> None:
    """The extra is named; nothing else needs it."""
    code = """
import sys
sys.modules["boto3"] = None
from adapters.payloads.opening import open_payloads
from definitions.errors import SteploomError
open_payloads(sys.argv[1])
try:
    open_payloads("s3://bucket")
except SteploomError as error:
    print(error.message, "|", error.hint)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "boto3, which is not installed" in done.stdout
    assert "`aws`" in done.stdout
