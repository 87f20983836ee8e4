"""What the deploying function answers whoever calls it from here."""

from __future__ import annotations

import json
import time

from botocore.exceptions import ReadTimeoutError

from smoke.account import Account
from smoke.stages import STACK
from smoke.verdict import CannotTell, Check, Verdict, judged


def function_answers(account: Account) -> Verdict:
    """`advance` of the staging endpoint, which its clock asks for every five minutes; without one it does nothing."""
    name = account.options.endpoint or account.pipeline.endpoint_name
    event = json.dumps({"action": "advance", "endpoint_name": name}).encode()
    began = time.monotonic()
    try:
        answer = account.ask("lambda", "invoke", FunctionName=account.pipeline.deploy_function, Payload=event)
    except ReadTimeoutError as exc:
        return judged(False, str(exc))
    said = json.loads(answer["Payload"].read())
    if "FunctionError" in answer or "phase" not in said:
        raise CannotTell(f"the function answers {said}", "the stack of docs/aws.md, or another --endpoint")
    return judged(True, f"{name} is {said['phase']}, said after {time.monotonic() - began:.1f} s")


CHECKS = (
    Check(
        "function-answers",
        STACK,
        function_answers,
        "its answer, whatever lies between; a phase",
        "nothing; has the function look at an endpoint, as its clock does",
    ),
)
