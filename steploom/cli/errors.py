"""Errors as a person and a program see them: one sentence, the next thing to try, an exit code.

::

    0    ok
    1    the run or a check failed
    2    usage, an invalid document or an input that does not fit
    3    not found
    4    Temporal or Postgres does not answer
    5    refused, or in conflict with what is there
    130  interrupted
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

import typer

from definitions.errors import (
    ConflictError,
    InvalidDocumentError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    SteploomError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from definitions.problems import Problem
    from steploom.operations.documents import Checked

FAILED = 1
INTERRUPTED = 130
_CODES: tuple[tuple[type[SteploomError], int], ...] = (
    (InvalidDocumentError, 2),
    (InvalidInputError, 2),
    (NotFoundError, 3),
    (UnreachableError, 4),
    (ConflictError, 5),
    (RefusedError, 5),
)
_MACHINE = ("json", "jsonl", "yaml")


class Switches:
    """What the error handling needs to know although the arguments may not even parse."""

    def __init__(self, args: Sequence[str]) -> None:
        ours = list(args[: args.index("--")] if "--" in args else args)
        self.debug = "--debug" in ours or os.environ.get("STEPLOOM_DEBUG", "") not in {"", "0"}
        self.machine = _output_of(ours) in _MACHINE


def _output_of(args: Sequence[str]) -> str | None:
    for index, arg in enumerate(args):
        if arg in {"--output", "-o"} and index + 1 < len(args):
            return args[index + 1]
        if arg.startswith("--output="):
            return arg.removeprefix("--output=")
    return None


def exit_code(error: SteploomError) -> int:
    """The exit code of an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def report(error: Exception, switches: Switches) -> int:
    """Tells an error on stderr; returns the exit code."""
    if isinstance(error, SteploomError):
        return _tell(_facts(error), switches)
    if isinstance(error, typer.TyperException):
        return _tell(_usage_facts(error), switches)
    if switches.debug:
        traceback.print_exception(error, file=sys.stderr)
    if (known := _foreign(error)) is not None:
        return _tell(_facts(known), switches)
    facts = {
        "type": type(error).__name__,
        "message": f"something unexpected happened: {type(error).__name__}: {_line(str(error))}",
        "hint": "run it again with --debug to see where, and report it",
        "exitCode": FAILED,
    }
    return _tell(facts, switches)


def _foreign(error: Exception) -> SteploomError | None:
    """What a library's error means in our words, where it has a plain meaning."""
    if isinstance(error, PermissionError) and error.filename:
        return SteploomError(
            f"{error.filename}: {error.strerror}", hint="use a folder that you may write to"
        )
    service = sys.modules.get("temporalio.service")
    if service is None or not isinstance(error, service.RPCError):
        return None
    said = f"Temporal says: {_line(error.message)}"
    if error.status is service.RPCStatusCode.NOT_FOUND:
        return UnreachableError("Temporal", said, hint="check STEPLOOM_TEMPORAL_NAMESPACE")
    if error.status is service.RPCStatusCode.INVALID_ARGUMENT:
        return InvalidInputError(said, hint="check STEPLOOM_* and the options of the command")
    return UnreachableError("Temporal", said, hint="see that server's log")


def _facts(error: SteploomError) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "type": type(error).__name__,
        "message": error.message,
        "hint": error.hint or _hint(error),
        "exitCode": exit_code(error),
    }
    if found := list(_problems(error)):
        facts["problems"] = found
    return facts


def _problems(error: SteploomError) -> Iterator[dict[str, Any]]:
    """The problems of an error, each with its file where there are files."""
    documents: Sequence[Checked] = getattr(error, "documents", ())
    for one in documents:
        for problem in one.report.problems:
            yield {"file": one.source, **problem.model_dump(mode="json")}
    if not documents:
        problems: Sequence[Problem] = getattr(error, "problems", ())
        files: Sequence[str | None] = getattr(error, "files", [None] * len(problems))
        for file, problem in zip(files, problems, strict=True):
            place = {} if file is None else {"file": file}
            yield {**place, **problem.model_dump(mode="json")}


def _hint(error: SteploomError) -> str:
    """The next thing to try, for an error that names none itself."""
    match error:
        case InvalidDocumentError():
            return "correct the document; `steploom validate FILE` checks it again"
        case InvalidInputError():
            return "correct it and try again"
        case NotFoundError():
            return "`steploom list` and `steploom definitions list` show what there is"
        case ConflictError():
            return "use another name"
        case RefusedError():
            return "`steploom show EXECUTION` tells where the execution stands"
        case _:
            return "`steploom --help` shows all commands; --debug shows where this came from"


def _usage_facts(error: typer.TyperException) -> dict[str, Any]:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "steploom"
    # A group without a command has its help as its message, and that is shown already.
    message = error.format_message().strip() or "name a command"
    if (cause := error.__cause__) is not None and (ours := _of_pydantic(cause)) is not None:
        message = message.removesuffix(error.message) + ours
    return {
        "type": "UsageError",
        "message": message[:1].lower() + message[1:].rstrip("."),
        "hint": f"`{path} --help` shows how it is used",
        "exitCode": error.exit_code,
    }


def _of_pydantic(cause: BaseException) -> str | None:
    """What keeps the value of an option from being one, where typer had pydantic read it."""
    from pydantic import ValidationError  # noqa: PLC0415 (heavy, and no usual end of a command)

    from definitions.wording import misfit_words  # noqa: PLC0415

    if not isinstance(cause, ValidationError):
        return None
    return "; ".join(misfit_words(one) for one in cause.errors(include_url=False))


def _tell(facts: dict[str, Any], switches: Switches) -> int:
    code = int(facts["exitCode"])
    if switches.machine:
        sys.stderr.write(json.dumps({"error": facts}) + "\n")
        return code
    lines = [f"Error: {facts['message']}"]
    for problem in facts.get("problems", ()):
        where = problem["pointer"] or "/"
        if "file" in problem:
            where = f"{problem['file']}:{where}"
        warning = "warning: " if problem["severity"] == "warning" else ""
        lines.append(f"{where} {problem['code']} {warning}{problem['message']}")
    lines.append(f"Next: {facts['hint']}")
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        lines[0] = f"\x1b[31;1mError:\x1b[0m{lines[0].removeprefix('Error:')}"
    sys.stderr.write("\n".join(lines) + "\n")
    return code


def _line(text: str) -> str:
    return " ".join(text.split())[:500]
