"""What CloudWatch says of an alarm that is not there."""

from __future__ import annotations

from smoke.account import Account
from smoke.stages import FREE
from smoke.verdict import Check, Verdict, judged


def absent_alarm(account: Account) -> Verdict:
    """The name is new, and begins as everything here does: there is nothing that could be deleted."""
    name = account.name()
    code, message = account.refusal("cloudwatch", "delete_alarms", AlarmNames=[name])
    return judged(code in ("ResourceNotFound", "ResourceNotFoundException"), f"{code or 'done'} {message}".strip())


CHECKS = (
    Check("absent-alarm", FREE, absent_alarm, "ResourceNotFound", "nothing; asks to delete an alarm that is not there"),
)
