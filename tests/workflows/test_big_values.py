"""Values over 1 MiB: they go from task to task by reference, and neither history has them."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from definitions.outputs import MAX_VALUE_BYTES, json_text
from definitions.references import KEY, MAX_STORED_BYTES
from tests.postgres import as_administrator
from tests.workflows.big import MIB, TASKS, big, file_of, folder, history_of, reference
from tests.workflows.big_tasks import RUNS, text_of
from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import DEFAULT
from tests.workflows.tasks import gate
from tests.workflows.test_long_runs import histories

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workflows.stack import Stack

__all__ = ["big", "folder"]


async def test_a_document_goes_through_three_tasks(big: Stack, folder: Path) -> None:
    """5 MiB, changed on their way: the history and the record have references of 130 bytes."""
    document = definition(
        step("make", "big.lines", input={"kib": 5 * 1024}),
        step("upper", "big.upper"),
        step("measure", "big.measure", input="${data.lines}"),
        output={"size": "${data.size}", "title": "${data.title}", "begins": "${data.begins}"},
    )
    handle = await big.start(document)
    lines = ["y" * 1021] * 5 * 1024
    assert await big.result(handle) == {
        "size": len(json_text(lines)),
        "title": "all of it",
        "begins": "['" + "Y" * 38,
    }
    record = await big.record(handle)
    stored = reference(lines)
    assert record.step("make").output == {"title": "all of it", "lines": stored}
    assert record.step("upper").input == {"title": "all of it", "lines": stored}
    assert record.attempts("upper")[0].input == {"title": "all of it", "lines": stored}
    capitals = ["Y" * 1021] * 5 * 1024
    assert record.step("upper").output["lines"] == reference(capitals)
    assert json.loads(file_of(folder, lines).read_bytes()) == lines
    assert len(await history_of(big, handle)) < 64 * 1024
    rows = as_administrator(
        big.url, "SELECT * FROM payloads WHERE instance_id = %s ORDER BY size", record.instance.id
    )
    assert {row["sha256"] for row in rows} == {
        one[KEY]["sha256"] for one in (stored, reference(capitals))
    }
    assert {row["org_id"] for row in rows} == {DEFAULT}
    assert {row["size"] for row in rows} == {len(json_text(lines))}


@pytest.mark.parametrize("task", ["big.text", "big.local"])
async def test_up_to_1_mib_a_value_stays_where_it_is(big: Stack, task: str) -> None:
    """As the step's output, exactly 1 MiB is handed on as it is; one byte more is stored."""
    most = MAX_VALUE_BYTES - len('{"value":}')
    for size, is_stored in ((most - 1, False), (most, False), (most + 1, True)):
        document = definition(
            step("make", task, input={"size": size}),
            step("measure", "big.measure", input="${steps.make.output.value}"),
        )
        result, record = await big.run(document)
        assert result["size"] == size
        expected = reference(text_of(size)) if is_stored else text_of(size)
        assert record.step("make").output == {"value": expected}
        assert record.step("make").wrapped


async def test_the_biggest_members_go_until_the_rest_is_small(big: Stack) -> None:
    """Conditions see what is left; what is small stays where it is."""
    sizes = {"a": 700 * 1024, "b": 600 * 1024, "c": 400 * 1024, "d": 300 * 1024, "e": 10}
    document = definition(
        step(
            "make",
            "big.object",
            input=sizes,
            next=[
                {"nextStepId": "yes", "condition": "size(output.d) > 1000 && data.e != ''"},
                {"nextStepId": "no"},
            ],
        ),
        step("no", "core.fail"),
        step("yes", "big.measure"),
    )
    result, record = await big.run(document)
    texts = {name: text_of(size, letter=name) for name, size in sizes.items()}
    assert record.step("make").output == {
        **texts,
        "a": reference(texts["a"]),
        "b": reference(texts["b"]),
    }
    assert result["size"] == len(json_text(texts))


async def test_an_object_of_small_members_alone_is_stored_whole(big: Stack) -> None:
    """Its members are then not known to the run, so it stands under ``value`` as a list does."""
    document = definition(
        step("make", "big.many", input={"count": 30, "size": 50_000}),
        step("measure", "big.measure", input="${steps.make.output.value}"),
    )
    result, record = await big.run(document)
    whole = {f"m{number}": text_of(50_000) for number in range(30)}
    assert record.step("make").output == {"value": reference(whole)}
    assert record.step("make").wrapped
    assert result["size"] == len(json_text(whole))


async def test_16_mib_is_the_most(big: Stack) -> None:
    """One byte more fails the step, which is not tried again, and is on record."""
    document = definition(
        step("make", "big.text", input={"size": MAX_STORED_BYTES, "name": "most"}),
        step("pass", "test.echo", input="${steps.make.output.value}"),
        step("measure", "big.measure", input="${steps.pass.output.value}"),
    )
    result, _ = await big.run(document)
    assert result["size"] == MAX_STORED_BYTES
    over = definition(
        step(
            "make",
            "big.text",
            input={"size": MAX_STORED_BYTES + 1, "name": "over"},
            retryPolicy=retry(3),
        )
    )
    error, record = await big.run_failing(over)
    assert error.type == "PayloadTooLarge"
    assert str(MAX_STORED_BYTES + 1) in error.message
    assert record.attempt_statuses("make") == ["failed"]
    assert RUNS["over"] == 1


async def test_what_an_input_refers_to_is_16_mib_at_most(big: Stack) -> None:
    """All of it together, and each as often as it is there."""
    half = MAX_STORED_BYTES // 2
    document = definition(
        step("make", "big.text", input={"size": half}),
        step(
            "twice",
            "big.measure",
            input=["${steps.make.output.value}", "${steps.make.output.value}"],
            retryPolicy=retry(3),
        ),
    )
    error, record = await big.run_failing(document)
    assert error.type == "PayloadTooLarge"
    assert "with what it refers to" in error.message
    assert record.attempt_statuses("twice") == ["failed"]


async def test_an_input_of_several_big_values(big: Stack) -> None:
    """Each in its place, beside what is small; a task may change one and not the other."""
    document = definition(
        step("make", "big.text", input={"size": 2 * MIB}),
        step(
            "measure",
            "big.measure",
            input={"n": 1, "all": ["${steps.make.output.value}", "${steps.make.output.value}"]},
        ),
    )
    result, _ = await big.run(document)
    value = text_of(2 * MIB)
    assert result["size"] == len(json_text({"n": 1, "all": [value, value]}))


async def test_items_and_branches_have_big_values(big: Stack) -> None:
    """Each item's output is looked at by itself, and a branch's ends like a step's."""
    document = definition(
        step(
            "each",
            "big.text",
            input={"size": "${item}"},
            forEach={"items": [2 * MIB, 10, 3 * MIB]},
        ),
        step(
            "measure", "big.measure", forEach={"items": "${steps.each.output.value}"},
            input="${item}",
        ),
        step(
            "fork",
            parallelBranches=[
                branch("one", step("b1", "big.lines", input={"kib": 2048}), step("b2", "big.upper"))
            ],
        ),
        step("whole", "big.measure", input="${steps.fork.output.one}"),
    )  # fmt: skip
    result, record = await big.run(document)
    each = record.step("each").output["value"]
    assert each == [reference(text_of(2 * MIB)), text_of(10), reference(text_of(3 * MIB))]
    sizes = [one["size"] for one in record.step("measure").output["value"]]
    assert sizes == [2 * MIB, 10, 3 * MIB]
    assert result["size"] > 2 * MIB


async def test_variables_and_compensations_have_big_values(big: Stack) -> None:
    """``core.set`` keeps a reference, and a rollback is given the value."""
    document = definition(
        step(
            "make",
            "big.lines",
            input={"kib": 2048},
            compensation={"taskId": "big.measure"},
        ),
        step("keep", "core.set", input={"kept": "${data.lines}"}),
        step("measure", "big.measure", input="${variables.kept}"),
        step("fail", "core.fail", input={"errorType": "Wrong"}),
    )
    error, record = await big.run_failing(document)
    assert error.type == "Wrong"
    lines = ["y" * 1021] * 2048
    assert record.step("measure").output["size"] == len(json_text(lines))
    [undone] = record.attempts("make@compensation")
    assert undone.output["size"] == len(json_text({"title": "all of it", "lines": lines}))
    assert undone.input["lines"] == reference(lines)


async def test_a_worker_that_is_gone_and_a_run_that_continues_as_new(
    stack: Stack, folder: Path
) -> None:
    """Another worker goes on with the same values, and so does the next run of the chain."""
    settings: dict[str, Any] = {"tasks": TASKS, "payloads": str(folder), "history_limit": 10}
    name = "big-restart"
    document = definition(
        step("make", "big.lines", input={"kib": 3 * 1024}),
        step("wait", "core.event", input={"name": "go"}),
        step("first", "big.upper", input="${steps.make.output}"),
        step("second", "core.noop", input={}),
        step("upper", "big.upper-at-gate", input={
            "gate": name,
            "lines": "${steps.first.output.lines}",
            "title": "${steps.first.output.title}",
        }),
        step("measure", "big.measure", input="${steps.upper.output.lines}"),
    )  # fmt: skip
    queue = f"test-{name}"
    async with stack.worker(task_queue=queue, **settings) as first:
        handle = await first.start(document)
        await first.waits(handle, "wait")
    gate(name).open.set()
    async with stack.worker(task_queue=queue, **settings) as second:
        await handle.signal("event", {"name": "go"})
        result = await second.result(handle)
        chain = await histories(second, handle)
    assert result["size"] == len(json_text(["Y" * 1021] * 3 * 1024))
    assert len(chain) > 1
    assert sum(len(one.to_json()) for one in chain) < 200 * 1024


async def test_secrets_are_taken_out_before_a_value_is_stored(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are before a value is in the history."""
    monkeypatch.setenv("STEPLOOM_SECRET_BIG_KEY", "planted-in-the-text")
    async with stack.worker(tasks=TASKS, payloads=str(tmp_path)) as served:
        document = definition(
            step("make", "big.repeat", input={"text": "secret://big-key", "times": 200_000})
        )
        await served.run_failing(document)
    [stored] = tmp_path.rglob("*.json")  # noqa: ASYNC240 (a folder of one file)
    text = stored.read_text()
    assert "planted-in-the-text" not in text
    assert text.count("[redacted]") == 200_000


async def test_at_the_level_error_no_reference_is_on_record(big: Stack, folder: Path) -> None:
    """The run has its values all the same, and it is known which are its."""
    document = definition(
        step("make", "big.text", input={"size": 2 * MIB, "letter": "e"}),
        step("measure", "big.measure", input="${steps.make.output.value}"),
        executionLog={"level": "error"},
    )
    result, record = await big.run(document)
    assert result["size"] == 2 * MIB
    assert record.step("make").output is None
    assert record.step("measure").input is None
    assert KEY not in record.instance.model_dump_json()
    assert file_of(folder, text_of(2 * MIB, letter="e")).exists()
    [row] = as_administrator(
        big.url, "SELECT * FROM payloads WHERE instance_id = %s", record.instance.id
    )
    assert row["size"] == 2 * MIB


async def test_a_rerun_has_the_big_values_of_the_run_before(big: Stack) -> None:
    """They are on record as its own as well, for the earlier run may be cleaned away first."""
    document = definition(
        step("make", "big.lines", input={"kib": 2048}),
        step("measure", "big.measure", input="${steps.make.output}"),
        step("fail", "core.fail", input={"errorType": "Wrong"}),
    )
    first, record = await big.run_failing(document)
    name = record.instance.execution_id
    again = await big.start_with({"rerun": {"executionId": name, "fromStep": "measure"}})
    assert (await big.failure(again)).type == first.type == "Wrong"
    second = await big.record(again)
    assert [step.path for step in second.steps] == ["measure", "fail"]
    assert second.step("measure").output == record.step("measure").output
    rows = as_administrator(
        big.url, "SELECT sha256 FROM payloads WHERE instance_id = %s", second.instance.id
    )
    assert [row["sha256"] for row in rows] == [reference(["y" * 1021] * 2048)[KEY]["sha256"]]


async def test_a_response_of_core_http_is_a_big_value(big: Stack) -> None:
    """Up to 16 MiB of it; its status can be asked for, and a request can have it as its body."""
    rows = [{"n": number, "text": "z" * 1000} for number in range(3000)]
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        requests.append(await reader.readexactly(int(length[1])) if length else b"")
        body = json.dumps(rows).encode() if head.startswith(b"GET") else b"{}"
        facts = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        writer.write(f"HTTP/1.1 200 OK\r\nconnection: close\r\n{facts}\r\n".encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        document = definition(
            step(
                "get",
                "core.http",
                input={"url": url},
                next=[{"nextStepId": "post", "condition": "output.status == 200"}],
            ),
            step(
                "post",
                "core.http",
                input={"url": url, "method": "POST", "body": "${steps.get.output.body}"},
            ),
        )
        _, record = await big.run(document)
    assert record.step("get").output["body"] == reference(rows)
    assert record.step("post").input["body"] == reference(rows)
    assert json.loads(requests[1]) == rows


async def test_big_values_in_s3(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same run with a bucket: one object for a value, below the prefix and the org."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3")
        await asyncio.to_thread(lambda: client.create_bucket(Bucket="values"))
        document = definition(
            step("make", "big.lines", input={"kib": 2048}),
            step("upper", "big.upper"),
            step("measure", "big.measure", input="${steps.upper.output.lines}"),
        )
        async with stack.worker(tasks=TASKS, payloads="s3://values/steploom") as served:
            result, _ = await served.run(document)
        listed = await asyncio.to_thread(lambda: client.list_objects_v2(Bucket="values"))
    finally:
        server.stop()
    values = (["y" * 1021] * 2048, ["Y" * 1021] * 2048)
    assert result["size"] == len(json_text(values[0]))
    assert {found["Key"] for found in listed["Contents"]} == {
        f"steploom/{DEFAULT}/{reference(value)[KEY]['sha256']}" for value in values
    }
