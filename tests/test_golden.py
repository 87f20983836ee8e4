"""Golden pictures: which are kept, and files of them that the deployment refuses."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation import golden
from hosting import Hosting
from rollout import account
from rollout import golden as smoke_test


def test_of_each_class_that_was_found_the_middling_picture_is_kept() -> None:
    chances = np.array([[0.9, 0.1], [0.7, 0.3], [0.99, 0.01], [0.52, 0.48], [0.2, 0.8]], np.float32)
    assert golden.chosen(chances) == [0, 4]  # of the first class 0.7, 0.9, 0.99; 0.52 is not clear


def test_of_very_many_classes_a_few_are_asked_about() -> None:
    assert len(golden.chosen(np.eye(100, dtype=np.float32))) == golden.CLASSES


def test_where_nothing_is_clear_the_clearest_picture_is_kept() -> None:
    assert golden.chosen(np.array([[0.5, 0.5], [0.51, 0.49]], np.float32)) == [1]


DAMAGED = {
    "no JSON": b"{",
    "no pictures": b"{}",
    "no object": b"[1]",
    "no base64": b'{"pictures": [{"name": "a", "content_type": "b", "body": "?", "class": "c", "probability": 1}]}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_named(case: str) -> None:
    aws = Hosting()
    arn = aws.register(1)
    aws.objects["s3://bucket/runs/1/evaluation/golden.json"] = DAMAGED[case]
    with pytest.raises(account.DeployRefused, match="golden.json is damaged"):
        smoke_test.pictures(account.of(aws.clients()), aws.packages[arn])


def test_a_file_that_is_too_large_is_not_read_to_its_end() -> None:
    aws = Hosting()
    arn = aws.register(1)
    aws.objects["s3://bucket/runs/1/evaluation/golden.json"] = b" " * (smoke_test.LARGEST + 1)
    with pytest.raises(account.DeployRefused, match="more than 8,388,608 bytes"):
        smoke_test.pictures(account.of(aws.clients()), aws.packages[arn])
