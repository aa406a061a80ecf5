"""``core.http``: one HTTP request, guarded against reaching what only the worker can reach.

A host is resolved once, every address is checked (no loopback, private, link-local, reserved or
mapped one, unless the operator allows it), and the connection goes to the very address that was
checked. Redirects make new connections, so they are checked alike. Body and time are capped.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Annotated, Any

import httpcore
import httpx
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from typing_extensions import override

from activities.registry import task
from activities.watching import HIDE, WATCHED
from definitions.errors import TaskError
from definitions.outputs import MAX_VALUE_BYTES
from definitions.references import MAX_STORED_BYTES

#: Seconds for the whole request, redirects included, unless the step's own timeouts are shorter.
REQUEST_TIMEOUT = 60.0
MAX_REDIRECTS = 5
_RETRYABLE = {408, 429}


class HttpRequest(BaseModel):
    """The input. ``body`` that is no text is sent as JSON; ``expect`` lists the good statuses."""

    model_config = ConfigDict(extra="forbid")

    method: Annotated[str, Field(pattern=r"^[A-Za-z]{1,20}$")] = "GET"
    url: Annotated[str, Field(max_length=8192)]
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    body: JsonValue = None
    expect: list[int] | None = None


class HttpResponse(BaseModel):
    """The output. ``body`` is parsed where the response says that it is JSON, else it is text."""

    status: int
    headers: dict[str, str]
    body: JsonValue


def http_task(allow: Iterable[str] = ()) -> Callable[..., Coroutine[Any, Any, HttpResponse]]:
    """The task. ``allow``: hosts, addresses or networks that may be reached although private."""
    sender = HttpSender(allow)

    @task("core.http", description="Sends one HTTP request.")
    async def http(request: HttpRequest) -> HttpResponse:
        """Sends one HTTP request."""
        return await sender.send(request)

    return http


class HttpSender:
    """Sends requests under the guard. ``allow`` as of ``http_task``."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._guard = _Guard(allow)

    async def send(
        self, request: HttpRequest, *, redirects: bool = True, seconds: float = REQUEST_TIMEOUT
    ) -> HttpResponse:
        """The response, where its status is a good one. ``seconds``: for the whole request.

        Raises:
            TaskError: ``HttpError``, or ``PayloadTooLarge``.
        """
        shown = HIDE.get()(request.url)
        with WATCHED.get().request(request.method.upper(), shown) as watched:
            client = _client(self._guard, redirects=redirects)
            response, body = await _exchange(request, client, watched.headers, seconds)
            watched.answered(response.status_code)
        return _checked(request, response, body)


def check_link_local(host: str, allow: Iterable[str] = ()) -> None:
    """Refuses a host that is a link-local address as it is written, as every request would be.

    Cloud providers serve credentials at such addresses. Nothing is looked up, and what other
    private addresses may be reached is known where requests are sent.

    Args:
        host: Of a URL: a name or an address.
        allow: As of ``http_task``.

    Raises:
        TaskError: ``HttpError`` with the code ``forbidden-address``.
    """
    address = host.partition("%")[0]
    try:
        # Also reads what is no usual notation, such as 2852039166.
        found = socket.getaddrinfo(address, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return
    ip = _plain(str(found[0][4][0]))
    if ip.is_link_local:
        _Guard(allow).check(host, str(ip))


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address without its zone, and the IPv4 address in a mapped one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


class _Guard:
    """Which addresses may be reached."""

    def __init__(self, allow: Iterable[str]) -> None:
        self._hosts: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for entry in allow:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._hosts.add(entry.lower())

    async def addresses(self, host: str, port: int) -> list[str]:
        """The checked addresses of a host.

        Raises:
            TaskError: It does not resolve, or one of its addresses is out of bounds.
        """
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
        except OSError as error:
            message = f"{host} cannot be resolved: {error.strerror or error}"
            raise TaskError(message, type="HttpError", code="dns") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if host.lower() not in self._hosts:
            for address in addresses:
                self.check(host, address)
        return addresses

    def check(self, host: str, address: str) -> None:
        """Returns where this address of a host may be reached, whatever the host's name.

        Raises:
            TaskError: It is out of bounds.
        """
        ip = _plain(address)
        if any(ip in network for network in self._networks):
            return
        if not ip.is_global or ip.is_multicast:
            raise TaskError(
                f"{host} is at {address}, an address that is not public; an operator can allow it "
                "with STEPLOOM_HTTP_ALLOW",
                type="HttpError",
                code="forbidden-address",
                retryable=False,
            )


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses alone. TLS still verifies the name in the URL."""

    def __init__(self, guard: _Guard) -> None:
        self._guard = guard
        self._backend = httpcore.AnyIOBackend()

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Opens a connection to the first address of the host that answers."""
        failure: Exception | None = None
        for address in await self._guard.addresses(host, port):
            try:
                return await self._backend.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    @override
    async def sleep(self, seconds: float) -> None:
        """Waits between two tries to connect."""
        await asyncio.sleep(seconds)


def _client(guard: _Guard, *, redirects: bool) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(retries=0, trust_env=False)
    # httpx has no setting for the network backend of its pool; httpcore, which makes it, has.
    transport._pool = httpcore.AsyncConnectionPool(  # noqa: SLF001
        ssl_context=httpx.create_ssl_context(trust_env=False),
        network_backend=_CheckedBackend(guard),
    )
    return httpx.AsyncClient(
        transport=transport,
        trust_env=False,
        follow_redirects=redirects,
        max_redirects=MAX_REDIRECTS,
        timeout=REQUEST_TIMEOUT,
    )


async def _exchange(
    request: HttpRequest, client: httpx.AsyncClient, trace: Mapping[str, str], seconds: float
) -> tuple[httpx.Response, bytes]:
    given = {name.lower() for name in request.headers}
    ours = {name: value for name, value in trace.items() if name not in given}
    content: dict[str, Any] = {}
    if isinstance(request.body, str):
        content["content"] = request.body.encode()
    elif request.body is not None:
        content["json"] = request.body
    try:
        async with (
            asyncio.timeout(seconds),
            client,
            client.stream(
                request.method.upper(),
                request.url,
                headers={**ours, **request.headers},
                params={k: v for k, v in request.query.items() if v is not None} or None,
                **content,
            ) as response,
        ):
            body = await _read(response)
    except TimeoutError:
        message = f"{request.method} {request.url} took longer than {seconds:g} seconds"
        raise TaskError(message, type="HttpError", code="timeout") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
        raise TaskError(str(error), type="HttpError", code="request", retryable=False) from None
    except httpx.HTTPError as error:
        message = f"{request.method} {request.url}: {str(error) or type(error).__name__}"
        raise TaskError(message, type="HttpError", code="connection") from None
    return response, body


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_STORED_BYTES:
            raise TaskError(
                f"the response has more than {MAX_STORED_BYTES} bytes",
                type="PayloadTooLarge",
                retryable=False,
            )
    return bytes(body)


def _checked(request: HttpRequest, response: httpx.Response, body: bytes) -> HttpResponse:
    status = response.status_code
    parsed = _parse(response.headers.get("content-type", ""), body, response.encoding)
    good: Sequence[int] = request.expect if request.expect is not None else range(200, 300)
    if status not in good:
        if len(body) > MAX_VALUE_BYTES:
            # An error is kept in several places of a run.
            parsed = f"<a body of {len(body)} bytes>"
        raise TaskError(
            f"{request.method.upper()} {request.url} answered {status} {response.reason_phrase}",
            type="HttpError",
            code=str(status),
            details={"status": status, "body": parsed},
            retryable=status in _RETRYABLE or status >= 500,  # noqa: PLR2004 (server errors)
        )
    return HttpResponse(status=status, headers=dict(response.headers), body=parsed)


def _parse(content_type: str, body: bytes, encoding: str | None) -> JsonValue:
    if not body:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            parsed: JsonValue = json.loads(body)
        except ValueError:
            pass
        else:
            return parsed
    return body.decode(encoding or "utf-8", "replace")
