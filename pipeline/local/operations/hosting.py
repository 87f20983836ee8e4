"""Endpoints as asynchronous state machines: what each call may do now, and what their supervisors then bring about."""

from __future__ import annotations

from pipeline.errors import ServiceError
from pipeline.local import endpoint, endpoint_record
from pipeline.local.clock import clock_of
from pipeline.local.operations.answers import answer
from pipeline.local.operations.endpoints import create_hosting, hosting, list_hosting
from pipeline.local.operations.requests import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from pipeline.local.store import Record, Store


class Hosted:
    """The operations on endpoints themselves; `wakes`: they start supervisors."""

    def __init__(self, store: Store, wakes: bool) -> None:
        self.store = store
        self.wakes = wakes

    def create(self, **request: Any) -> dict[str, Any]:
        """Creating, until its instances have been seen healthy."""
        operation = "CreateEndpoint"
        check(operation, request)
        for record in self.store.find("endpoint", request["EndpointName"]):
            self._look_after(record)
        fleet = self._fleet(request["EndpointConfigName"], operation)
        deployment = request.get("DeploymentConfig", {})
        pending = {**fleet, "StartTime": clock_of(self.store).now(), "deployment": deployment}
        self._check_deployment(pending, operation)
        private = {**fleet, "pending": pending, **({"LastDeploymentConfig": deployment} if deployment else {})}
        arn = create_hosting(self.store, "endpoint", request, operation, private, status=endpoint_record.CREATING)
        self._wake(request["EndpointName"])
        return {"EndpointArn": arn}

    def update(self, **request: Any) -> dict[str, Any]:
        """Updating: the old fleet serves until the new one does."""
        operation = "UpdateEndpoint"
        check(operation, request)
        with self.store.transaction():
            record = self._settled(request["EndpointName"], operation)
            if record.status == endpoint_record.FAILED:
                message = f'Cannot update failed endpoint "{record.arn}": it can only be deleted.'
                raise ServiceError("ValidationException", message, operation)
            fleet = self._fleet(request["EndpointConfigName"], operation)
            self._check_kind(record, fleet["variants"])
            if request.get("RetainAllVariantProperties"):
                excluded = [each["VariantPropertyType"] for each in request.get("ExcludeRetainedVariantProperties", ())]
                endpoint_record.retain(record.body["variants"], fleet["variants"], excluded)
            deployment = request.get("DeploymentConfig", {})
            if not deployment and request.get("RetainDeploymentConfig"):
                deployment = record.body.get("LastDeploymentConfig", {})
            pending = {**fleet, "StartTime": clock_of(self.store).now(), "deployment": deployment}
            self._check_deployment(pending, operation)
            self._check_scaled(record, fleet["variants"])
            changes = {"pending": pending, "FailureReason": None, "LastDeploymentConfig": deployment or None}
            self.store.change("endpoint", record.name, changes, status=endpoint_record.UPDATING)
        self._wake(record.name)
        return {"EndpointArn": record.arn}

    def resize(self, **request: Any) -> dict[str, Any]:
        operation = "UpdateEndpointWeightsAndCapacities"
        check(operation, request)
        with self.store.transaction():
            record = self._settled(request["EndpointName"], operation)
            names = [variant["VariantName"] for variant in record.body["variants"]]
            counts, weights = dict[str, int](), dict[str, float]()
            for wanted in request["DesiredWeightsAndCapacities"]:
                name = wanted["VariantName"]
                if name not in names:
                    message = f"The endpoint has no variant {name!r}; it has: {', '.join(names)}"
                    raise ServiceError("ValidationException", message, operation)
                counts |= {name: wanted["DesiredInstanceCount"]} if "DesiredInstanceCount" in wanted else {}
                weights |= {name: wanted["DesiredWeight"]} if "DesiredWeight" in wanted else {}
            changes = endpoint_record.resized(record.body, counts, weights, clock_of(self.store).now())
            self.store.change("endpoint", record.name, changes, status=endpoint_record.UPDATING)
        self._wake(record.name)
        return {"EndpointArn": record.arn}

    def describe(self, **request: Any) -> dict[str, Any]:
        check("DescribeEndpoint", request)
        record = hosting(self.store, "endpoint", request["EndpointName"], "DescribeEndpoint")
        if self._look_after(record):
            record = hosting(self.store, "endpoint", record.name, "DescribeEndpoint")  # gone
        stamped = {"CreationTime": record.created, "LastModifiedTime": record.modified, **record.body}
        body = {**stamped, "EndpointArn": record.arn, "EndpointStatus": record.status}
        body = {key: value for key, value in body.items() if value is not None}
        return answer({**body, **endpoint_record.described(record)})

    def list(self, **request: Any) -> dict[str, Any]:
        for record in self.store.list("endpoint"):
            self._look_after(record)
        return list_hosting(self.store, "endpoint", "ListEndpoints", request, "Endpoints", "Endpoint")

    def delete(self, **request: Any) -> dict[str, Any]:
        """Deleting, until its instances have answered what they were given."""
        operation = "DeleteEndpoint"
        check(operation, request)
        with self.store.transaction():
            record = self._settled(request["EndpointName"], operation)
            self.store.change("endpoint", record.name, {}, status=endpoint_record.DELETING)
        self._look_after(hosting(self.store, "endpoint", record.name, operation))
        return {}

    def _settled(self, name: str, operation: str) -> Record:
        """The endpoint, if nothing is under way with it; in AWS's own words otherwise."""
        record = hosting(self.store, "endpoint", name, operation)
        if record.status in endpoint_record.IN_PROGRESS:
            message = f'Cannot update in-progress endpoint "{record.arn}".'
            raise ServiceError("ValidationException", message, operation)
        return record

    def _look_after(self, record: Record) -> bool:
        """What is under way goes on, though its supervisor may have been killed, or the machine been switched off.

        True where the endpoint was Deleting, and is gone now that no process of it is left.
        """
        if record.status == endpoint_record.DELETING:
            if endpoint.is_looked_after(self.store, record.name):
                return False
            endpoint_record.remove(self.store, record.name)
            return True
        if record.status in endpoint_record.IN_PROGRESS and self.wakes:
            endpoint.wake(self.store, record.name)
        if record.body.get("AsyncInferenceConfig") and self.wakes:
            from pipeline.local import async_host

            async_host.look_after(self.store, record.name)
        return False

    def _wake(self, name: str) -> None:
        """In a run, where no process could stay, what sleeps is taken as asked for, unseen: its first call wakes it."""
        if self.wakes and not endpoint.wake_outside(self.store, name):
            endpoint_record.settle(self.store, name)

    def _check_deployment(self, pending: Mapping[str, Any], operation: str) -> None:
        for name in endpoint_record.plan(pending, operation).alarms:
            if not self.store.find("metric-alarm", name):
                message = f"Invalid DeploymentConfig: there is no CloudWatch alarm {name!r}"
                raise ServiceError("ValidationException", message, operation)

    def _check_kind(self, record: Record, variants: Sequence[Mapping[str, Any]]) -> None:
        """https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html"""
        before, after = (["ServerlessConfig" in each for each in some] for some in (record.body["variants"], variants))
        if any(before) != any(after):
            kind = "serverless" if any(before) else "on instances"
            message = f'Endpoint "{record.arn}" is {kind}, and cannot become another kind: delete it first'
            raise ServiceError("ValidationException", message, "UpdateEndpoint")

    def _check_scaled(self, record: Record, variants: Sequence[Mapping[str, Any]]) -> None:
        """https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-prerequisites.html"""
        before = {variant["VariantName"]: variant.get("InstanceType") for variant in record.body["variants"]}
        for variant in variants:
            name = variant["VariantName"]
            scaled = self.store.list("scalable-target", f"sagemaker endpoint/{record.name}/variant/{name} ")
            if scaled and before.get(name) != variant.get("InstanceType"):
                message = (
                    f"The instance type of variant {name} cannot change while it is registered as a scalable target:"
                    " deregister it first"
                )
                raise ServiceError("ValidationException", message, "UpdateEndpoint")

    def _fleet(self, config_name: str, operation: str) -> dict[str, Any]:
        config = hosting(self.store, "endpoint-config", config_name, operation)
        variants = config.body["ProductionVariants"]
        models = [hosting(self.store, "model", variant["ModelName"], operation) for variant in variants]
        found = endpoint_record.fleet(config_name, variants, [model.body["containers"] for model in models])
        return {**found, "AsyncInferenceConfig": config.body.get("AsyncInferenceConfig")}
