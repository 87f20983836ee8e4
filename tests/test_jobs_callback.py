"""Callback steps: the message, the answers."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from local_drivers import run_here

from pipeline.errors import DarkroomError
from pipeline.local.jobs import JobFailed
from pipeline.local.service import LocalSageMaker, connect
from pipeline.local.store import Record

QUEUE = "https://sqs.us-east-1.amazonaws.com/111122223333/queue"


def answered(home: Path, answer: Any, **step: Any) -> Any:
    """Runs the step while another thread, with a connection of its own, answers its message."""
    seen: list[Record] = []

    def wait_and_answer() -> None:
        service = connect(str(home))
        while not (messages := service.store.list("callback")):
            time.sleep(0.01)
        seen.append(messages[0])
        answer(service, messages[0].name)

    connect(str(home))
    thread = threading.Thread(target=wait_and_answer)
    thread.start()
    try:
        return run_here(home, "callback", {"text": "please"}, SqsQueueUrl=QUEUE, **step), seen
    finally:
        thread.join()


def succeed(service: LocalSageMaker, token: str, **outputs: str) -> None:
    values = [{"Name": name, "Value": value} for name, value in outputs.items()]
    service.send_pipeline_execution_step_success(CallbackToken=token, OutputParameters=values)


def outputs(**kinds: str) -> list[dict[str, str]]:
    return [{"OutputName": name, "OutputType": kind} for name, kind in kinds.items()]


def test_a_message_carries_token_arguments_and_execution(tmp_path: Path) -> None:
    done, [message] = answered(tmp_path, succeed)
    assert message.body["arguments"] == {"text": "please"}
    assert message.body["token"] == message.name == done.announced[0]["Callback"]["CallbackToken"]
    assert message.body["SqsQueueUrl"] == QUEUE
    assert message.body["pipelineExecutionArn"].endswith("/execution/e1")


def test_an_answers_texts_become_the_declared_types(tmp_path: Path) -> None:
    declared = outputs(text="String", count="Integer", share="Float", fine="Boolean")
    done, _ = answered(
        tmp_path,
        lambda service, token: succeed(service, token, text="7", count="7", share="7", fine="True"),
        OutputParameters=declared,
    )
    assert done.body["OutputParameters"] == {"text": "7", "count": 7, "share": 7.0, "fine": True}


def test_a_refusal_fails_the_step_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="not today"):
        answered(
            tmp_path,
            lambda service, token: service.send_pipeline_execution_step_failure(
                CallbackToken=token, FailureReason="not today"
            ),
        )


def test_an_answer_that_came_while_the_runner_was_dead_is_taken(tmp_path: Path) -> None:
    service = connect(str(tmp_path))
    arn = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/p/execution/e1"
    service.store.add("callback", "old", {"pipelineExecutionArn": arn, "step": "Step"}, "InProgress")
    succeed(service, "old", count="7")
    done = run_here(tmp_path, "callback", {}, SqsQueueUrl=QUEUE, OutputParameters=outputs(count="Integer"))
    assert done.body["Outputs"] == {"count": 7}
    assert len(service.store.list("callback")) == 1


@pytest.mark.parametrize(
    ("declared", "match"),
    [
        (outputs(other="String"), r"lacks \['other'\]; it holds \['count'\]"),
        (outputs(count="Integer"), "'count' is declared Integer, the answer holds 'many'"),
        (outputs(count="Boolean"), "'count' is declared Boolean"),
        (outputs(count="Number"), "unknown OutputType 'Number'"),
    ],
)
def test_an_answer_that_lacks_an_output_fails_the_step(
    tmp_path: Path, declared: list[dict[str, str]], match: str
) -> None:
    with pytest.raises(DarkroomError, match=match):
        answered(tmp_path, lambda service, token: succeed(service, token, count="many"), OutputParameters=declared)
