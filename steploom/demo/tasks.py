"""The tasks of the demo's definition: plain functions, nothing of the workflow in them.

They work on their input alone, so that a repeated attempt comes to the same result. Where a real
one would call another system, it would hand ``context.idempotency_key`` along.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from steploom import TaskContext, TaskError, task

#: The most that a line of a category may cost without a question.
LIMITS = {"travel": 500, "lodging": 650, "meals": 80, "equipment": 1500, "training": 1000}

_SATURDAY = 5
_CENT = Decimal("0.01")


class _Data(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Line(_Data):
    """One line of a receipt."""

    date: date
    category: str
    description: str
    amount: Decimal


class Receipt(_Data):
    """What was paid, and what was claimed for it."""

    amount: Decimal
    lines: list[Line]


class Lines(_Data):
    """The lines of a receipt."""

    lines: list[Line]


class Checked(_Data):
    """A receipt that adds up."""

    line_count: int
    largest_category: str


class Policy(_Data):
    """How the receipt compares with the policy."""

    violations: list[str]


class Risk(_Data):
    """How unusual the receipt is, from 0 to 100, and why."""

    score: int
    reasons: list[str]


class Budget(_Data):
    """Money of a department."""

    department: str
    amount: Decimal


class Reservation(_Data):
    """Money that was set aside."""

    reservation_id: str


class Payout(_Data):
    """Money for an employee."""

    employee: str
    amount: Decimal
    currency: str


class Payment(_Data):
    """Money that was paid."""

    payment_id: str


class Message(_Data):
    """A message to an employee."""

    to: str
    subject: str
    text: str


class Sent(_Data):
    """A message that was sent."""

    message_id: str


@task("check-receipt", mode="local")
def check_receipt(receipt: Receipt) -> Checked:
    """Adds up the lines of a receipt and compares the sum with the amount claimed."""
    total = sum((line.amount for line in receipt.lines), Decimal(0)).quantize(_CENT)
    claimed = receipt.amount.quantize(_CENT)
    if total != claimed:
        raise TaskError(
            f"the lines add up to {total}, and {claimed} are claimed",
            type="ReceiptMismatch",
            code="total",
            details={"total": str(total), "claimed": str(claimed)},
            retryable=False,
        )
    by_category: dict[str, Decimal] = {}
    for line in receipt.lines:
        by_category[line.category] = by_category.get(line.category, Decimal(0)) + line.amount
    largest = max(by_category, key=lambda name: by_category[name])
    return Checked(line_count=len(receipt.lines), largest_category=largest)


@task("check-policy")
def check_policy(receipt: Lines) -> Policy:
    """Compares each line with the limit of its category."""
    return Policy(
        violations=[
            f"{line.description}: {line.amount} for {line.category}, the limit is {limit}"
            for line in receipt.lines
            if line.amount > (limit := LIMITS.get(line.category, 0))
        ]
    )


@task("score-risk")
async def score_risk(receipt: Receipt) -> Risk:
    """Adds points for what is seldom seen on honest receipts."""
    points: dict[str, int] = {}
    if all(line.amount == line.amount.to_integral_value() for line in receipt.lines):
        points["all amounts are round"] = 25
    if any(line.date.weekday() >= _SATURDAY for line in receipt.lines):
        points["bought at a weekend"] = 20
    if len({line.category for line in receipt.lines}) == 1 and len(receipt.lines) > 1:
        points["one category alone"] = 10
    points["the amount"] = min(30, int(receipt.amount / 100))
    return Risk(score=sum(points.values()), reasons=[name for name, got in points.items() if got])


@task("reserve-budget")
def reserve_budget(budget: Budget, context: TaskContext) -> Reservation:
    """Sets money of a department aside."""
    return Reservation(reservation_id=_made_of("R", f"{budget.department} {_key(context)}"))


@task("release-budget")
def release_budget(reservation: Reservation) -> dict[str, str]:
    """Gives back what was set aside."""
    return {"released": reservation.reservation_id}


@task("reimburse")
async def reimburse(payout: Payout, context: TaskContext) -> Payment:
    """Pays an employee through a gateway that fails the first time."""
    context.heartbeat()
    if context.attempt == 1:
        raise TaskError(
            "the payment gateway answered 502 Bad Gateway", type="GatewayError", code="502"
        )
    return Payment(payment_id=_made_of("P", f"{payout.employee} {_key(context)}"))


@task("recall-payment")
def recall_payment(payment: Payment) -> dict[str, str]:
    """Takes a payment back."""
    return {"recalled": payment.payment_id}


@task("notify")
def notify(message: Message, context: TaskContext) -> Sent:
    """Sends a message."""
    return Sent(message_id=_made_of("M", f"{message.to} {_key(context)}"))


def _key(context: TaskContext) -> str:
    # The same on each attempt: a second attempt pays nobody twice.
    return context.idempotency_key


def _made_of(kind: str, text: str) -> str:
    return f"{kind}-{uuid5(NAMESPACE_URL, text).hex[:10]}"
