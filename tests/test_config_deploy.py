"""The sections deploy and serving: each rule between their keys, what it refuses in which words, and what it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, deployment, load_config
from pipeline.errors import ConfigError

OUTPUT = {"output": "s3://my-bucket/answers/"}
SERVERLESS = {"serverless": {}, "network_isolation": False}
VPC = {"subnets": ["subnet-0123456789abcdef0"], "security_groups": ["sg-0123456789abcdef0"]}


def loaded(folder: Path, **sections: Any) -> Config:
    path = folder / "pipeline.yaml"
    path.write_text(json.dumps(sections))
    return load_config(path)


REFUSED: list[tuple[dict[str, Any], str]] = [
    # one key
    ({"deploy": {"instance_type": "ml.m5.tiny"}}, 'deploy.instance_type: "ml.m5.tiny"'),
    ({"deploy": {"instance_count": 0}}, "deploy.instance_count: 0 is not allowed; allowed: a whole number from 1"),
    ({"deploy": {"scaling": {"metric": "cpu"}}}, 'deploy.scaling.metric: "cpu" is not allowed; allowed: one of'),
    ({"deploy": {"scaling": {"target": 0}}}, "deploy.scaling.target: 0 is not allowed; allowed: a number above 0"),
    ({"deploy": {"scaling": {"out_seconds": 3601}}}, "deploy.scaling.out_seconds: 3601 is not allowed"),
    ({"deploy": {"update": {"canary_percent": 51}}}, "deploy.update.canary_percent: 51 is not allowed"),
    ({"deploy": {"update": {"timeout_minutes": 9}}}, "deploy.update.timeout_minutes: 9 is not allowed"),
    ({"deploy": {"alarms": {"error_rate": 0}}}, "deploy.alarms.error_rate: 0 is not allowed"),
    ({"deploy": {"alarms": {"also": ["a b"]}}}, 'deploy.alarms.also[0]: "a b" is not allowed'),
    ({"deploy": {"alarms": {"also": [f"a{n}" for n in range(9)]}}}, "deploy.alarms.also: "),
    ({"deploy": {**SERVERLESS, "serverless": {"memory_mb": 1500}}}, "deploy.serverless.memory_mb: 1500 is not allowed"),
    ({"deploy": {"asynchronous": {"output": "/tmp"}, "smoke_test": False}}, 'deploy.asynchronous.output: "/tmp"'),
    ({"deploy": {"inference_ami": "ami-1"}}, 'deploy.inference_ami: "ami-1" is not allowed; allowed: '),
    ({"serving": {"queue": 0}}, "serving.queue: 0 is not allowed; allowed: a whole number from 1 to 65536"),
    ({"serving": {"batch_ms": 60_001}}, "serving.batch_ms: 60001 is not allowed"),
    # between keys of deploy
    (
        {"deploy": {"update": {"timeout_minutes": 10, "bake_seconds": 300, "wait_seconds": 300}}},
        "deploy.update.timeout_minutes: 10: bake_seconds and wait_seconds alone take 600 seconds",
    ),
    (
        {"deploy": {**SERVERLESS, "asynchronous": OUTPUT, "smoke_test": False}},
        "deploy.asynchronous: a serverless endpoint answers at once; write null for one of the two",
    ),
    (
        {"deploy": {"asynchronous": OUTPUT}},
        "deploy.smoke_test: true: an asynchronous endpoint answers into S3 alone; write false",
    ),
    (
        {"deploy": {"inference_ami": "al2023-ami-sagemaker-inference-gpu-4-1"}},
        "deploy.inference_ami: ml.m5.large has no GPU; write null",
    ),
    ({"deploy": {"scaling": {"min": 4}}}, "deploy.scaling.min: 4 is above max (3)"),
    (
        {"deploy": {"instance_count": 4}},
        "deploy.instance_count: 4 is not between scaling.min and scaling.max (1 to 3)",
    ),
    (
        {"deploy": {"scaling": {"min": 0}}},
        "deploy.scaling.min: 0: only an asynchronous endpoint, with `metric: backlog`, scales to nothing",
    ),
    ({"deploy": {"scaling": {"metric": "backlog"}}}, 'deploy.scaling.metric: "backlog": only asynchronous endpoints'),
    # between sections
    (
        {"deploy": {"serverless": {}}, "security": {"network_isolation": True}},
        "deploy.network_isolation: serverless endpoints have no network isolation: write false, where",
    ),
    (
        {"deploy": SERVERLESS, "security": VPC},
        "deploy.serverless: serverless endpoints have no VPC; security.subnets names one",
    ),
    (
        {"deploy": {**SERVERLESS, "serverless": {"max_concurrency": 2, "warm": 3}}},
        "deploy.serverless.warm: 3 is more than max_concurrency (2)",
    ),
    ({"serving": {"server": "ray"}, "pipeline": {"region": "cn-north-1"}}, "serving.server: "),
]
TAKEN: list[dict[str, Any]] = [
    {"deploy": {"update": {"timeout_minutes": 11, "bake_seconds": 300, "wait_seconds": 300}}},
    {"deploy": SERVERLESS},
    {"deploy": {"asynchronous": OUTPUT, "smoke_test": False}},
    {"deploy": {"asynchronous": OUTPUT, "smoke_test": False, "scaling": {"min": 0, "metric": "backlog"}}},
    {"deploy": {"instance_type": "ml.g5.xlarge", "inference_ami": "al2023-ami-sagemaker-inference-gpu-4-1"}},
    {"deploy": {"instance_count": 4, "scaling": {"max": 4}}},
    {"deploy": {"instance_count": 4, "scaling": None}},
    {"deploy": {"scaling": {"min": 3, "metric": "concurrency"}, "instance_count": 3}},
    {"deploy": SERVERLESS, "security": {"network_isolation": True}},
    {"deploy": {**SERVERLESS, "serverless": {"max_concurrency": 2, "warm": 2}}},
    {"deploy": {"alarms": {"also": ["queue-too-long"], "latency_ms": 0}}},
    {"deploy": {"serverless": None}, "security": VPC},
]


@pytest.mark.parametrize(("sections", "words"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_sagemaker_would_refuse_later_is_refused_now(tmp_path: Path, sections: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, **sections)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("own", "place"),
    [
        ({}, "s3://my-bucket/answers/failures/"),
        ({"output": "s3://my-bucket"}, "s3://my-bucket/failures/"),
        ({"failures": "s3://other/f/"}, "s3://other/f/"),
    ],
)
def test_failures_of_an_asynchronous_endpoint_have_a_place(tmp_path: Path, own: dict[str, str], place: str) -> None:
    config = loaded(tmp_path, deploy={"asynchronous": {**OUTPUT, **own}, "smoke_test": False})
    assert f"failure={place}" in deployment.request(config, "production")["asynchronous"].split()


@pytest.mark.parametrize("sections", TAKEN, ids=json.dumps)
def test_what_lies_just_beside_a_rule_is_taken(tmp_path: Path, sections: dict[str, Any]) -> None:
    config = loaded(tmp_path, **sections)
    for key, value in sections["deploy"].items():
        if not isinstance(value, dict):
            assert getattr(config.deploy, key) == value
