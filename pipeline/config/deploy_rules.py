"""Rules between the keys of the section deploy: what SageMaker refuses only when an endpoint is made or updated."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.config.deploying import DeploySection
from pipeline.config.instances import accelerator
from pipeline.config.problems import Problem
from pipeline.config.sections import SecuritySection

Problems = Iterator[Problem]


def deploy_rules(deploy: DeploySection) -> Problems:
    update, kinds = deploy.update, (deploy.serverless, deploy.asynchronous)
    seconds = update.bake_seconds + update.wait_seconds
    if update.timeout_minutes * 60 <= seconds:
        says = f"{update.timeout_minutes}: bake_seconds and wait_seconds alone take {seconds} seconds"
        yield Problem(("deploy", "update", "timeout_minutes"), says)
    if all(kinds):
        yield Problem(
            ("deploy", "asynchronous"), "a serverless endpoint answers at once; write null for one of the two"
        )
    if deploy.asynchronous and deploy.smoke_test:
        yield Problem(("deploy", "smoke_test"), "true: an asynchronous endpoint answers into S3 alone; write false")
    if deploy.inference_ami and accelerator(deploy.instance_type) != "gpu":
        yield Problem(("deploy", "inference_ami"), f"{deploy.instance_type} has no GPU; write null")
    if deploy.serverless is None:
        yield from _scaling(deploy)


def _scaling(deploy: DeploySection) -> Problems:
    scaling, path = deploy.scaling, ("deploy", "scaling")
    if scaling is None:
        return
    if scaling.min > scaling.max:
        yield Problem((*path, "min"), f"{scaling.min} is above max ({scaling.max})")
    elif not max(scaling.min, 1) <= deploy.instance_count <= scaling.max:
        says = f"{deploy.instance_count} is not between scaling.min and scaling.max ({scaling.min} to {scaling.max})"
        yield Problem(("deploy", "instance_count"), says)
    if scaling.min == 0 and scaling.metric != "backlog":
        yield Problem((*path, "min"), "0: only an asynchronous endpoint, with `metric: backlog`, scales to nothing")
    if scaling.metric == "backlog" and deploy.asynchronous is None:
        yield Problem((*path, "metric"), '"backlog": only asynchronous endpoints have one')


def kinds_rules(deploy: DeploySection, security: SecuritySection) -> Problems:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html, feature exclusions."""
    if deploy.serverless is None:
        return
    if deploy.isolates(security):
        says = "serverless endpoints have no network isolation: write false, where the model may do without"
        yield Problem(("deploy", "network_isolation"), says)
    if security.subnets:
        yield Problem(("deploy", "serverless"), "serverless endpoints have no VPC; security.subnets names one")
    if deploy.serverless.warm > deploy.serverless.max_concurrency:
        says = f"{deploy.serverless.warm} is more than max_concurrency ({deploy.serverless.max_concurrency})"
        yield Problem(("deploy", "serverless", "warm"), says)
