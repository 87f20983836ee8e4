"""What the command line says of the champion."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.control.champion import told

ARN = "arn:aws:sagemaker:us-east-1:111122223333:model-package/owls/3"
COMPARED = {"package": ARN, "compared": True, "difference": -0.0445, "verdict": "worse"}


@pytest.mark.parametrize(
    ("champion", "says"),
    [
        (COMPARED, "version 3: -0.0445, worse"),
        ({**COMPARED, "difference": 0.01, "verdict": "no difference shown"}, "version 3: +0.0100, no difference shown"),
        ({**COMPARED, "package": "arn:aws:sagemaker:r:1:model-package/barn"}, "barn: -0.0445, worse"),
        ({"compared": False, "package": ARN}, "version 3: could not be compared"),
        ({"compared": False}, "of no known version: could not be compared"),
        ([], ""),
    ],
)
def test_the_champion_is_named_with_what_the_model_gains(champion: Any, says: str) -> None:
    assert told({"darkroom": {"champion": champion}}) == says


@pytest.mark.parametrize("report", [{}, {"darkroom": {}}, {"darkroom": [1]}])
def test_without_a_champion_nothing_is_said(report: dict[str, Any]) -> None:
    assert told(report) == ""
