"""The commands of ``steploom``, from the app itself."""

from __future__ import annotations

import inspect
import re
from enum import Enum
from typing import TYPE_CHECKING, Any

import typer.main

from generated.markdown import table

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Options that the page explains once for all commands.
COMMON = ("org", "as_", "output")
_MARKUP = re.compile(r"\\\[")


def commands() -> str:
    """A section for each command, in the order of ``steploom --help``."""
    from steploom.cli.app import app  # noqa: PLC0415 (the other parts need no command line)

    root: Any = typer.main.get_command(app)
    sections = [_section(path, command) for path, command in _leaves("steploom", root)]
    return "\n\n".join(sections)


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    for name, child in getattr(command, "commands", {}).items():
        if child.hidden:
            continue
        here = f"{path} {name}"
        if hasattr(child, "commands"):
            yield from _leaves(here, child)
        else:
            yield here, child


def _section(path: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    usage = [path, *(_usage(one) for one in arguments), *(["[OPTIONS]"] if options else [])]
    parts = [f"## `{path}`", _unmarked(inspect.cleandoc(command.help or ""))]
    shared = ", ".join(f"`{one.opts[0]}`" for one in options if one.name in COMMON)
    parts.append(f"Usage: `{' '.join(usage)}`" + (f", also with {shared}." if shared else "."))
    rows = [(f"`{_name(one)}`", _default(one), _help(one)) for one in arguments]
    rows += [
        (_switches(one), _default(one), _help(one)) for one in options if one.name not in COMMON
    ]
    if rows:
        parts.append(table(("argument or option", "default", "meaning"), rows))
    if examples := _examples(command.epilog):
        parts.append("```console\n" + "\n".join(f"$ {line}" for line in examples) + "\n```")
    return "\n\n".join(parts)


def _usage(argument: Any) -> str:
    name = _name(argument)
    return name if argument.required else f"[{name}]"


def _name(argument: Any) -> str:
    # Whoever wrote the metavar of an optional one may have put it in brackets.
    return str(argument.metavar or argument.name.upper()).strip("[]")


def _switches(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    return f"{names} {_value(option)}"


def _value(option: Any) -> str:
    if option.metavar:
        return str(option.metavar)
    kind = option.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(one.value) for one in kind)
    return "NUMBER" if kind is int else "TEXT"


def _help(parameter: Any) -> str:
    return _unmarked(" ".join((parameter.help or "").split()))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    value = getattr(value, "value", value)
    if value in (None, (), [], False):
        return ""
    return f"`{value}`"


def _unmarked(text: str) -> str:
    """Text without the escapes of rich's markup."""
    return _MARKUP.sub("[", text)


def _examples(epilog: str | None) -> list[str]:
    lines = [line.strip() for line in _unmarked(epilog or "").splitlines()]
    return [line for line in lines if line and line not in {"Example:", "Examples:"}]
