"""The task registry: which function does which task.

A user's module marks functions with ``@task``; nothing is registered by importing alone. A registry
is made of the modules that a worker was told to serve, so two workers of one process can differ.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar, get_type_hints

import structlog
from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
from pydantic_core import PydanticSerializationError

from activities.context import TaskContext
from definitions.document import RetryPolicy
from definitions.durations import format_duration, parse_duration
from definitions.errors import SteploomError
from definitions.names import TASKS_ENTRY_POINT
from definitions.tasks import BUILTIN_TASKS, TaskSpec

_log = structlog.get_logger(__name__)

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__steploom_task__"


class TaskRegistrationError(SteploomError):
    """A function that cannot be a task, a task id that is taken, or a module that fails to load."""


@dataclass(frozen=True, slots=True)
class RegisteredTask:
    """A function with what is known of it. ``input_type`` is None for one that takes no input."""

    spec: TaskSpec
    function: Callable[..., Any]
    is_async: bool
    input_type: TypeAdapter[Any] | None
    output_type: TypeAdapter[Any]
    context_name: str | None

    def as_json(self, output: Any) -> Any:
        """An output as JSON values.

        One that is not of the type that the function promises is logged, and never what it is:
        pydantic's own warning would quote it.

        Raises:
            PydanticSerializationError: It cannot be written as JSON.
        """
        try:
            return self.output_type.dump_python(
                output, mode="json", by_alias=True, warnings="error"
            )
        except PydanticSerializationError:
            value = self.output_type.dump_python(output, mode="json", by_alias=True, warnings=False)
        _log.warning("output_of_another_type", task=self.spec.task_id)
        return value


def task(
    task_id: str | None = None,
    *,
    mode: Literal["remote", "local"] = "remote",
    retry: Mapping[str, Any] | None = None,
    timeout: str | timedelta | None = None,
    attempt_timeout: str | timedelta | None = None,
    heartbeat_timeout: str | timedelta | None = None,
    description: str | None = None,
) -> Callable[[F], F]:
    """Marks a function as a task.

    The function takes the step's input (any type that pydantic can validate; none at all is fine
    too) and, if it has a parameter of type ``TaskContext``, the context. It returns anything that
    pydantic can turn into JSON. It may be sync (it then runs in a thread) or async, and stays
    callable as before.

    Args:
        task_id: The ``taskId`` that definitions use; by default the function's name with hyphens.
        mode: ``remote`` for a Temporal activity; ``local`` for what takes less than a second or two
            and may safely be repeated, as a local activity (faster, fewer events).
        retry: A ``retryPolicy`` as in a definition, for steps that set none.
        timeout: For steps that set none: the whole step (ISO 8601, or a timedelta).
        attempt_timeout: For steps that set none: one attempt.
        heartbeat_timeout: For steps that set none: the silence between two calls of
            ``TaskContext.heartbeat``.
        description: For the catalogue; by default the first line of the docstring.
    """

    def mark(function: F) -> F:
        name = task_id or function.__name__.replace("_", "-")
        if name.startswith("core.") and not function.__module__.startswith("activities."):
            raise TaskRegistrationError(f"{name}: the prefix core. is for built-in tasks")
        doc = (inspect.getdoc(function) or "").partition("\n")[0]
        spec = TaskSpec(
            task_id=name,
            description=description or doc or None,
            mode=mode,
            retry_policy=RetryPolicy.model_validate(retry) if retry is not None else None,
            timeout=_duration(timeout),
            attempt_timeout=_duration(attempt_timeout),
            heartbeat_timeout=_duration(heartbeat_timeout),
        )
        setattr(function, _MARK, spec)
        return function

    return mark


def _duration(value: str | timedelta | None) -> str | None:
    if value is None:
        return None
    return format_duration(value if isinstance(value, timedelta) else parse_duration(value))


class TaskRegistry:
    """The tasks that a worker serves, by id."""

    def __init__(self, tasks: Iterable[RegisteredTask] = ()) -> None:
        self._tasks: dict[str, RegisteredTask] = {}
        self._declared: dict[str, tuple[TaskSpec, str]] = {}
        for one in tasks:
            self._add(one)

    @classmethod
    def load(
        cls,
        modules: Iterable[str] = (),
        *,
        builtin: Iterable[Callable[..., Any]] = (),
        plugins: bool = True,
    ) -> TaskRegistry:
        """A registry of built-in tasks, of these modules, and of those that entry points name.

        Raises:
            TaskRegistrationError: A module cannot be imported, or two tasks have one id.
        """
        registry = cls()
        for function in builtin:
            registry.add(function)
        names = list(modules)
        if plugins:
            names += [point.value for point in entry_points(group=TASKS_ENTRY_POINT)]
        for name in dict.fromkeys(names):
            registry.add_module(name)
        return registry

    def add_module(self, name: str) -> None:
        """Registers every function of a module that is marked with ``@task``."""
        try:
            module = importlib.import_module(name)
        except Exception as error:
            message = f"the task module {name} cannot be imported: {type(error).__name__}: {error}"
            hint = "name it as Python would import it, from the folder that you are in"
            raise TaskRegistrationError(message, hint=hint) from error
        for value in list(vars(module).values()):
            if inspect.isfunction(value) and hasattr(value, _MARK):
                self.add(value)

    def add(self, function: Callable[..., Any]) -> None:
        """Registers one marked function; the same function twice is fine.

        Raises:
            TaskRegistrationError: It is not marked, its signature is none of a task's, or its id is
                taken.
        """
        spec = getattr(function, _MARK, None)
        if spec is None:
            raise TaskRegistrationError(f"{function!r} is not marked with @task")
        self._add(_describe(function, spec))

    def declare(self, spec: TaskSpec, place: str) -> None:
        """Adds a task that a worker of another language serves. ``place``: where it is declared.

        Raises:
            TaskRegistrationError: Its id is taken, or is that of a built-in task.
        """
        task_id = spec.task_id
        if task_id.startswith("core."):
            raise TaskRegistrationError(f"{place}: the prefix core. is for built-in tasks")
        before = self._place(task_id)
        if before is not None:
            raise TaskRegistrationError(f"two tasks are called {task_id}: {before} and {place}")
        self._declared[task_id] = (spec, place)

    def _place(self, task_id: str) -> str | None:
        """Where a task comes from, for a person."""
        if task_id in self._tasks:
            return _where(self._tasks[task_id].function)
        return self._declared[task_id][1] if task_id in self._declared else None

    def _add(self, registered: RegisteredTask) -> None:
        task_id = registered.spec.task_id
        if task_id in self._declared:
            raise TaskRegistrationError(
                f"two tasks are called {task_id}: {self._place(task_id)} and "
                f"{_where(registered.function)}"
            )
        before = self._tasks.get(task_id)
        if before is not None and before.function is not registered.function:
            raise TaskRegistrationError(
                f"two tasks are called {task_id}: {_where(before.function)} and "
                f"{_where(registered.function)}"
            )
        self._tasks[task_id] = registered

    def __iter__(self) -> Iterator[RegisteredTask]:
        return iter(self._tasks.values())

    def get(self, task_id: str) -> RegisteredTask | None:
        """The task with this id that a function does."""
        return self._tasks.get(task_id)

    def specs(self) -> dict[str, TaskSpec]:
        """The catalogue, by task id: built-in tasks, functions, and what was declared."""
        inline = {name: TaskSpec(task_id=name) for name in sorted(BUILTIN_TASKS)}
        functions = {name: one.spec for name, one in self._tasks.items()}
        declared = {name: spec for name, (spec, _) in self._declared.items()}
        return inline | functions | declared

    def nearest(self, task_id: str) -> str | None:
        """A registered id that looks like this one."""
        found = difflib.get_close_matches(task_id, self.specs(), n=1, cutoff=0.6)
        return found[0] if found else None


def _where(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _describe(function: Callable[..., Any], spec: TaskSpec) -> RegisteredTask:
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:
        message = f"the types of {_where(function)} cannot be read: {error}"
        raise TaskRegistrationError(message) from error
    inputs: list[Any] = []
    context_name: str | None = None
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            raise TaskRegistrationError(f"{_where(function)}: a task takes no *args or **kwargs")
        if hints.get(name) is TaskContext:
            context_name = name
        else:
            inputs.append(hints.get(name, Any))
    if len(inputs) > 1:
        raise TaskRegistrationError(
            f"{_where(function)}: a task takes one input (and a TaskContext), not {len(inputs)}"
        )
    try:
        input_type = TypeAdapter(inputs[0]) if inputs else None
        output_type = _output_adapter(hints.get("return", Any))
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        message = f"{_where(function)}: pydantic cannot validate its types: {error}"
        raise TaskRegistrationError(message) from error
    schemas = {
        "input_schema": _schema(input_type, "validation"),
        "output_schema": _schema(output_type, "serialization"),
    }
    return RegisteredTask(
        spec=spec.model_copy(update=schemas),
        function=function,
        is_async=inspect.iscoroutinefunction(function),
        input_type=input_type,
        output_type=output_type,
        context_name=context_name,
    )


def _output_adapter(kind: Any) -> TypeAdapter[Any]:
    """How an output becomes JSON. NaN and the infinities stay, to be replaced and flagged later."""
    try:
        return TypeAdapter(kind, config=ConfigDict(ser_json_inf_nan="constants"))
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        # A model or a dataclass has a configuration of its own, which then decides.
        return TypeAdapter(kind)


def _schema(
    adapter: TypeAdapter[Any] | None, mode: Literal["validation", "serialization"]
) -> dict[str, Any] | None:
    if adapter is None:
        return None
    try:
        return adapter.json_schema(mode=mode) or None
    except PydanticUserError:  # A type without a JSON Schema is still a type.
        return None
