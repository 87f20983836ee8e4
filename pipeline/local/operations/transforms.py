"""Batch transforms that somebody starts by himself, outside of any pipeline: created, looked at, stopped."""

from __future__ import annotations

from pipeline.errors import ServiceError
from pipeline.local.operations.answers import save_tags
from pipeline.local.operations.endpoints import hosting
from pipeline.local.operations.jobs import Jobs
from pipeline.local.operations.requests import check, check_name
from pipeline.request_sizes import refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Transforms(Jobs):
    def create_transform_job(self, **request: Any) -> dict[str, Any]:
        """InProgress; a process of its own does it (pipeline/local/transform_host.py)."""
        from pipeline.local import names, transform_host
        from pipeline.local.transform_host import KIND

        operation = "CreateTransformJob"
        check(operation, request)
        name = request["TransformJobName"]
        check_name(operation, "TransformJobName", name)
        if words := refusal(request.get("MaxConcurrentTransforms"), request.get("MaxPayloadInMB")):
            raise ServiceError("ValidationException", words, operation)
        hosting(self.store, "model", request["ModelName"], operation)
        arn = names.arn(KIND, name)
        body = {key: value for key, value in request.items() if key != "Tags"}
        with transform_host.starting(self.store, name):
            try:
                self.store.add(KIND, name, body | {transform_host.OWN: True}, "InProgress", arn)
            except ServiceError as exc:
                if exc.code != "ResourceInUse":
                    raise
                message = (
                    "Job name must be unique within an AWS account and region, and a job with this name already"
                    f" exists ({arn})"
                )
                raise ServiceError("ResourceInUse", message, operation) from exc
            save_tags(self.store, arn, request.get("Tags", ()))
            transform_host.start(self.store, name)
        return {"TransformJobArn": arn}

    def stop_transform_job(self, **request: Any) -> dict[str, Any]:
        """Stopping, until its model server has ended; the answers that are there already stay."""
        from pipeline.local import transform_host

        operation = "StopTransformJob"
        check(operation, request)
        record = self._job("TransformJob", request["TransformJobName"], operation)
        if record.status != "InProgress" or not record.body.get(transform_host.OWN):
            state = record.status if record.status != "InProgress" else "a step's: stop its execution"
            message = f"The request was rejected because the transform job is {state}."
            raise ServiceError("ValidationException", message, operation)
        transform_host.stop(self.store, record.name)
        return {}

    def describe_transform_job(self, **request: Any) -> dict[str, Any]:
        from pipeline.local import transform_host

        found = self.store.find(transform_host.KIND, str(request.get("TransformJobName", "")))
        if found:
            transform_host.look_after(self.store, found[0])
        answer = self._describe_job("TransformJob", request)
        if answer["TransformJobStatus"] == "InProgress" and transform_host.is_stopping(self.store, found[0].name):
            answer["TransformJobStatus"] = "Stopping"
        return answer

    def list_transform_jobs(self, **request: Any) -> dict[str, Any]:
        from pipeline.local import transform_host

        for record in self.store.list(transform_host.KIND):
            transform_host.look_after(self.store, record)
        return self._list_jobs("TransformJob", request, order="Descending")
