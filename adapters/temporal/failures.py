"""Reading failures of workers in other languages, whatever their details are.

A detail in an encoding that Python cannot read (a protocol buffer that only the other side knows)
would make the SDK fail the workflow task, again and again. It is told as text instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
    from temporalio.converter import PayloadConverter


class TolerantFailureConverter(DefaultFailureConverter):
    """The SDK's own, for which a detail that cannot be read is no reason to fail."""

    @override
    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        """As the SDK's; details that cannot be read are a text that says so."""
        try:
            return super().from_failure(failure, payload_converter)
        except Exception:  # noqa: BLE001 (each converter has its own)
            readable = Failure()
            readable.CopyFrom(failure)
            for payloads in _details(readable):
                for payload in payloads:
                    _make_readable(payload, payload_converter)
            return super().from_failure(readable, payload_converter)


def _details(failure: Failure) -> Iterator[RepeatedCompositeFieldContainer[Payload]]:
    while True:
        yield failure.application_failure_info.details.payloads
        yield failure.timeout_failure_info.last_heartbeat_details.payloads
        yield failure.canceled_failure_info.details.payloads
        if not failure.HasField("cause"):
            return
        failure = failure.cause


def _make_readable(payload: Payload, payload_converter: PayloadConverter) -> None:
    try:
        payload_converter.from_payload(payload)
    except Exception:  # noqa: BLE001 (as above)
        encoding = payload.metadata["encoding"].decode("utf-8", "replace")
        text = f"<{len(payload.data)} bytes of {encoding or 'no known encoding'}>"
        payload.CopyFrom(payload_converter.to_payload(text))
