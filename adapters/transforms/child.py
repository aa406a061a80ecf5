"""Evaluates transforms in a process of its own, which whoever started it can kill at any time.

Run as a script, by path. JMESPath and JSONata can be made to take any time and any memory, and
neither library can be stopped from inside. So the kernel bounds memory (``RLIMIT_AS``) and the
processor time of one request (a timer whose signal kills us, so that a busy machine fails no honest
transform). Between two requests we wait for our standard input, which ends with whoever started us.

Its arguments: bytes of memory, seconds of processor time for one request, bytes of an answer, and
the path where the libraries are, as a JSON list. Requests and answers are JSON, each after its
length in four bytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import resource
import signal
import struct
import sys
from typing import Any, BinaryIO

_PR_SET_PDEATHSIG = 1
_LENGTH = struct.Struct(">I")
_REASON = 300


def main() -> None:
    """Answers requests until there are no more, or until one took too much."""
    memory, seconds, largest = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    sys.path[:] = json.loads(sys.argv[4])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
    evaluate = _load()
    # Not everywhere is there such a limit (macOS); there the time alone is bounded.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    _write(sink, b"{}")
    while (request := _read(source)) is not None:
        # Kills us by the kernel's own doing (SIGPROF), whatever runs at that moment.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        answer, spent = _answer(evaluate, request, largest)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(sink, answer)
        if spent:
            return  # What is left of our memory is not to be trusted.


def _load() -> Any:
    import jmespath  # noqa: PLC0415 (the path is known by now)
    import jsonatapy  # noqa: PLC0415
    from jmespath.exceptions import JMESPathError  # noqa: PLC0415

    def evaluate(kind: str, expression: str, value: Any) -> Any:
        if kind == "jmespath":
            try:
                return jmespath.search(expression, value)
            except JMESPathError as error:
                raise ValueError(str(error)) from None
        compiled = jsonatapy.compile(expression)
        result = compiled.evaluate(value)
        # The library gives null for a function, and "" for it where it writes JSON by itself. The
        # two together tell it from a null, or a text, that is meant.
        if _has_null(result) and _differs(
            result, json.loads(compiled.evaluate_json(json.dumps(value)))
        ):
            raise ValueError("its result is a function, or has one in it, which is no JSON")
        return result

    return evaluate


def _has_null(result: Any) -> bool:
    if isinstance(result, dict):
        return any(map(_has_null, result.values()))
    return result is None or (isinstance(result, list) and any(map(_has_null, result)))


def _differs(result: Any, written: Any) -> bool:
    """Whether a text is written anywhere in the place of a null."""
    if isinstance(result, dict) and isinstance(written, dict):
        return any(_differs(member, written.get(name)) for name, member in result.items())
    if isinstance(result, list) and isinstance(written, list):
        return any(map(_differs, result, written))
    return result is None and written == ""


def _answer(evaluate: Any, request: bytes, largest: int) -> tuple[bytes, bool]:
    """The answer, and whether it is the last one."""
    spent = False
    try:
        asked = json.loads(request)
        value = evaluate(asked["type"], asked["expression"], asked["value"])
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        result = text.encode("utf-8", "surrogatepass")
        if len(result) <= largest:
            return b'{"value":' + result + b"}", False
        wrong = f"its result has {len(result)} bytes, at most {largest} are allowed"
    except MemoryError:
        wrong, spent = "it takes too much memory", True
    except RecursionError:
        wrong = "it goes too deep"
    except SystemError:
        wrong, spent = "it takes too much memory", True  # and the library did not notice
    except Exception as error:  # noqa: BLE001 (a library's, about the expression or its data)
        wrong = " ".join(str(error).split())[:_REASON] or type(error).__name__
    except BaseException as error:  # noqa: BLE001 (a panic of the native library)
        wrong, spent = f"it breaks its evaluator ({type(error).__name__})", True
    return json.dumps({"error": wrong, "spent": spent}).encode(), spent


def _read(source: BinaryIO) -> bytes | None:
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    return source.read(length)


def _write(sink: BinaryIO, message: bytes) -> None:
    sink.write(_LENGTH.pack(len(message)) + message)
    sink.flush()


if __name__ == "__main__":
    main()
