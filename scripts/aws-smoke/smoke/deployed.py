"""One endpoint, as SageMaker tells of it, and the deploying function in its tags."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from rollout.alarms import VARIANT
from rollout.record import PREFIX

from pipeline.config.deployment import production_name
from smoke.account import Account
from smoke.verdict import CannotTell


class Deployed:
    """Members are SageMaker's own; `record` has the function's words: phase, asked, good, before, reason, …"""

    def __init__(self, account: Account, name: str) -> None:
        self.account, self.name = account, name

    @cached_property
    def described(self) -> dict[str, Any]:
        return dict(self.account.ask("sagemaker", "describe_endpoint", EndpointName=self.name))

    @property
    def status(self) -> str:
        return str(self.described["EndpointStatus"])

    @property
    def serves(self) -> str:
        """The name of its endpoint configuration."""
        return str(self.described.get("EndpointConfigName", ""))

    @cached_property
    def record(self) -> dict[str, str]:
        """Raises CannotTell for an endpoint that the function did not deploy."""
        rows = self.account.pages("sagemaker", "list_tags", "Tags", ResourceArn=self.described["EndpointArn"])
        found = {row["Key"].removeprefix(PREFIX): row["Value"] for row in rows if row["Key"].startswith(PREFIX)}
        if "phase" not in found:
            raise CannotTell(f"{self.name} was not deployed by darkroom-deploy", "darkroom approve 1 --target aws")
        return found

    def config(self, name: str = "") -> dict[str, Any]:
        name = name or self.serves
        return dict(self.account.ask("sagemaker", "describe_endpoint_config", EndpointConfigName=name))

    def variant(self, config: str = "") -> dict[str, Any]:
        """As the configuration has it: the machine, and how many were asked for."""
        return dict(self.config(config)["ProductionVariants"][0])

    @property
    def image(self) -> str:
        """Of the model's container; a model that names a package has the package's."""
        model = self.account.ask("sagemaker", "describe_model", ModelName=self.variant()["ModelName"])
        container = model.get("PrimaryContainer", {})
        if arn := container.get("ModelPackageName"):
            package = self.account.ask("sagemaker", "describe_model_package", ModelPackageName=arn)
            container = package["InferenceSpecification"]["Containers"][0]
        return str(container.get("Image", ""))

    @property
    def about(self) -> dict[str, str]:
        """Its variant, as Application Auto Scaling takes it."""
        return {"ServiceNamespace": "sagemaker", "ResourceId": f"endpoint/{self.name}/variant/{VARIANT}"}

    def scaled(self) -> list[tuple[Any, int]]:
        """(when it began, instances) of what scaling has done, the newest first."""
        rows = self.account.pages(
            "application-autoscaling", "describe_scaling_activities", "ScalingActivities", **self.about
        )
        counts = [
            (row["StartTime"], row["Description"].rpartition("count to ")[2].rstrip("."))
            for row in rows
            if row["StatusCode"] == "Successful"
        ]
        return [(when, int(count)) for when, count in counts if count.isdecimal()]


def production(account: Account) -> Deployed:
    return _named(account, production_name(account.pipeline), "darkroom approve 1 --target aws deploys one")


def staging(account: Account) -> Deployed:
    return _named(account, account.pipeline.endpoint_name, "darkroom start --target aws --wait deploys one")


def _named(account: Account, name: str, hint: str) -> Deployed:
    """Raises CannotTell where there is none; `--endpoint` names another one."""
    found = Deployed(account, account.options.endpoint or name)
    code, message = account.refusal("sagemaker", "describe_endpoint", EndpointName=found.name)
    if code:
        raise CannotTell(f"{found.name}: {message}", hint)
    return found
