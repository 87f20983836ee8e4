"""Clients: how often a service may be asked depends on who answers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.client import aws_client, aws_hosting, aws_pause
from pipeline.infra.functions import SECONDS


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SAGEMAKER"])
@pytest.mark.parametrize(
    ("url", "pause"),
    [
        ("http://127.0.0.1:4566", time.sleep),
        ("http://localhost:4566", time.sleep),
        ("http://[::1]:4566", time.sleep),
        ("https://api.sagemaker.us-east-1.amazonaws.com", aws_pause),
        ("http://127.0.0.1.example.org", aws_pause),
        ("", aws_pause),
    ],
)
def test_an_account_is_given_more_time_between_two_looks_than_what_stands_in_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, url: str, pause: Any
) -> None:
    monkeypatch.setenv(variable, url)
    assert aws_client(str(tmp_path), "us-east-1").pause is pause


def test_who_calls_a_function_waits_as_long_as_it_may_run() -> None:
    """Given up earlier, the call would be sent once more while the first one still asks for golden pictures."""
    hosting = aws_hosting("us-east-1")
    assert hosting.functions.client().meta.config.read_timeout > max(SECONDS.values())
    assert hosting.sagemaker.client().meta.config.read_timeout == 60
