"""Models, endpoint configurations, endpoints, and calls to them."""

from __future__ import annotations

from pipeline.errors import EndpointError, ModelError, ServiceError
from pipeline.local import names
from pipeline.local.operations.answers import Operations, answer, matching, page, pick, remove_tags, save_tags
from pipeline.local.operations.requests import check, check_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.local.operations.hosting import Hosted
    from pipeline.local.store import Record, Store

_MEMORY_STEP = 1024  # MB; https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
_WORDS = {"model": "model", "endpoint-config": "endpoint configuration", "endpoint": "endpoint"}


class Endpoints(Operations):
    wakes = True  # a runner sees to supervisors itself: what it starts otherwise does not know its own /proc

    def create_model(self, **request: Any) -> dict[str, Any]:
        """A container named by a package needs an approved one, as on AWS."""
        check("CreateModel", request)
        if ("PrimaryContainer" in request) == ("Containers" in request):
            message = "give either PrimaryContainer or Containers"
            raise ServiceError("ValidationException", message, "CreateModel")
        containers = request["Containers"] if "Containers" in request else [request["PrimaryContainer"]]
        resolved = [self._resolved_container(container) for container in containers]
        return {"ModelArn": create_hosting(self.store, "model", request, "CreateModel", {"containers": resolved})}

    def describe_model(self, **request: Any) -> dict[str, Any]:
        check("DescribeModel", request)
        record = hosting(self.store, "model", request["ModelName"], "DescribeModel")
        stamped = {"CreationTime": record.created, "EnableNetworkIsolation": False, **record.body}
        return answer({**stamped, "ModelArn": record.arn})

    def list_models(self, **request: Any) -> dict[str, Any]:
        return list_hosting(self.store, "model", "ListModels", request, "Models", "Model")

    def delete_model(self, **request: Any) -> dict[str, Any]:
        return self._delete_hosting("model", "DeleteModel", request, "ModelName")

    def create_endpoint_config(self, **request: Any) -> dict[str, Any]:
        operation = "CreateEndpointConfig"
        check(operation, request)
        variants = request["ProductionVariants"]
        names_of_variants = [variant.get("VariantName") for variant in variants]
        if not variants or len(set(names_of_variants)) < len(variants):
            message = f"ProductionVariants needs at least one variant, each with a name of its own: {names_of_variants}"
            raise ServiceError("ValidationException", message, operation)
        for variant in variants:
            hosting(self.store, "model", variant.get("ModelName", ""), operation)
            memory = variant.get("ServerlessConfig", {}).get("MemorySizeInMB", _MEMORY_STEP)
            if memory not in range(_MEMORY_STEP, 6 * _MEMORY_STEP + 1, _MEMORY_STEP):
                message = f"MemorySizeInMB {memory} is none of 1024, 2048, 3072, 4096, 5120 and 6144"
                raise ServiceError("ValidationException", message, operation)
        return {"EndpointConfigArn": create_hosting(self.store, "endpoint-config", request, operation, {})}

    def describe_endpoint_config(self, **request: Any) -> dict[str, Any]:
        check("DescribeEndpointConfig", request)
        record = hosting(self.store, "endpoint-config", request["EndpointConfigName"], "DescribeEndpointConfig")
        return answer({"CreationTime": record.created, **record.body, "EndpointConfigArn": record.arn})

    def list_endpoint_configs(self, **request: Any) -> dict[str, Any]:
        return list_hosting(
            self.store, "endpoint-config", "ListEndpointConfigs", request, "EndpointConfigs", "EndpointConfig"
        )

    def delete_endpoint_config(self, **request: Any) -> dict[str, Any]:
        return self._delete_hosting("endpoint-config", "DeleteEndpointConfig", request, "EndpointConfigName")

    # endpoints themselves live in hosting.py, so that what needs no endpoint does not import how they are served

    def create_endpoint(self, **request: Any) -> dict[str, Any]:
        """Creating, until its instances have been seen healthy."""
        return self._hosted().create(**request)

    def update_endpoint(self, **request: Any) -> dict[str, Any]:
        """Updating: the old fleet serves until the new one does."""
        return self._hosted().update(**request)

    def update_endpoint_weights_and_capacities(self, **request: Any) -> dict[str, Any]:
        """Updating, until the instances have come or gone; weights count at once."""
        return self._hosted().resize(**request)

    def describe_endpoint(self, **request: Any) -> dict[str, Any]:
        return self._hosted().describe(**request)

    def list_endpoints(self, **request: Any) -> dict[str, Any]:
        return self._hosted().list(**request)

    def delete_endpoint(self, **request: Any) -> dict[str, Any]:
        """Deleting, until its instances have answered what they were given."""
        return self._hosted().delete(**request)

    def _hosted(self) -> Hosted:
        from pipeline.local.operations.hosting import Hosted

        return Hosted(self.store, self.wakes)

    def _resolved_container(self, container: Mapping[str, Any]) -> dict[str, Any]:
        """What a server needs of a container: image, archive, environment."""
        found = pick(container, "Image", "ModelDataUrl", "ModelDataSource", "Environment")
        if "ModelPackageName" in container:
            packaged = self._approved_container(container["ModelPackageName"])
            environment = {**packaged.get("Environment", {}), **container.get("Environment", {})}
            found = {**pick(packaged, "Image", "ModelDataUrl", "ModelDataSource"), "Environment": environment}
        if "Image" not in found:
            message = "a container needs an Image or a ModelPackageName"
            raise ServiceError("ValidationException", message, "CreateModel")
        address = found.get("ModelDataUrl") or found.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri")
        if address and next(self.storage.list(address), None) is None:
            raise ServiceError("ValidationException", f"Could not find model data at {address}.", "CreateModel")
        return found

    def _approved_container(self, name: str) -> dict[str, Any]:
        """The first container of the package."""
        short = name.partition("/")[2] if name.startswith("arn:") else name
        found = self.store.find("model-package", short)
        if not found:
            message = f"ModelPackage {names.arn('model-package', short)} does not exist."
            raise ServiceError("ValidationException", message, "CreateModel")
        status = found[0].body.get("ModelApprovalStatus", "Approved")  # an unversioned package has none and needs none
        if status != "Approved":
            message = f"Cannot create a model from {found[0].arn}: its ModelApprovalStatus is {status}, not Approved."
            raise ServiceError(
                "ValidationException", message, "CreateModel", f"darkroom approve {short.split('/')[-1]}"
            )
        containers = found[0].body.get("InferenceSpecification", {}).get("Containers") or [{}]
        return dict(containers[0])

    def _delete_hosting(self, kind: str, operation: str, request: Mapping[str, Any], member: str) -> dict[str, Any]:
        check(operation, request)
        record = hosting(self.store, kind, request[member], operation)
        self.store.remove(kind, record.name)
        remove_tags(self.store, record.arn)
        return {}


class Runtime(Operations):
    """The sagemaker-runtime client's InvokeEndpoint; asynchronous.py has its other operation."""

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        """`Body` of the answer has read(), as boto3's has. Raises ServiceError ValidationError or ModelError."""
        import io

        from pipeline.local import endpoint, endpoint_record

        operation = "InvokeEndpoint"
        check(operation, request)
        name = request["EndpointName"]
        limits = endpoint_record.limits(invoked(self.store, name, operation).body)
        if limits["patient"]:
            message = f"Endpoint {name} is asynchronous: ask it by InvokeEndpointAsync."
            raise ServiceError("ValidationError", message, operation)
        body = _bytes(request.get("Body", b""))
        if len(body) > limits["most"]:
            message = f"the body has {len(body)} bytes; endpoint {name} takes {limits['most']}"
            raise ServiceError("ValidationError", message, operation)
        headers = {
            "Content-Type": request.get("ContentType", "application/octet-stream"),
            "Accept": request.get("Accept", "*/*"),
        }
        if "CustomAttributes" in request:
            headers["X-Amzn-SageMaker-Custom-Attributes"] = request["CustomAttributes"]
        try:
            reply = endpoint.invoke(self.store, name, body, headers, variant=request.get("TargetVariant", ""))
        except EndpointError as exc:
            raise ServiceError("ModelError", exc.message, operation, exc.hint) from exc
        if reply.status >= 400:
            text, side = reply.body.decode(errors="replace"), "client" if reply.status < 500 else "server"
            message = f'Received {side} error ({reply.status}) from primary with message "{text}".'
            raise ModelError(message, reply.status, text, f"darkroom endpoints shows the log of {name}")
        return {
            "Body": io.BytesIO(reply.body),
            "ContentType": reply.content_type,
            "InvokedProductionVariant": reply.variant,
        }


def invoked(store: Store, name: str, operation: str) -> Record:
    """The endpoint that is to answer. Raises ServiceError ValidationError."""
    for record in store.find("endpoint", name):
        if record.status != "Deleting":
            return record
    raise ServiceError("ValidationError", f"Endpoint {name} of account {names.ACCOUNT} not found.", operation)


def create_hosting(
    store: Store, kind: str, request: Mapping[str, Any], operation: str, private: dict[str, Any], status: str = ""
) -> str:
    member = f"{operation.removeprefix('Create')}Name"
    name = request[member]
    check_name(operation, member, name)
    arn = names.arn(kind, name)
    body = {key: value for key, value in request.items() if key != "Tags"} | private
    try:
        store.add(kind, name, body, status=status, arn=arn)
    except ServiceError as exc:
        if exc.code != "ResourceInUse":
            raise
        message = f'Cannot create already existing {_WORDS[kind]} "{arn}".'
        raise ServiceError("ValidationException", message, operation) from exc
    save_tags(store, arn, request.get("Tags", ()))
    return arn


def hosting(store: Store, kind: str, name: str, operation: str) -> Record:
    found = store.find(kind, name)
    if not found:
        message = f'Could not find {_WORDS[kind]} "{names.arn(kind, name)}".'
        raise ServiceError("ValidationException", message, operation)
    return found[0]


def list_hosting(
    store: Store, kind: str, operation: str, request: Mapping[str, Any], member: str, prefix: str
) -> dict[str, Any]:
    check(operation, request)
    records = matching(store.list(kind), request, inclusive=True)
    keys = {"Status": lambda r: r.status} if kind == "endpoint" else None
    shown, more = page(operation, records, request, order="Descending", keys=keys)
    return {member: [answer(_summary(prefix, record)) for record in shown], **more}


def _bytes(body: Any) -> bytes:
    if isinstance(body, str):
        return body.encode()
    return bytes(body.read()) if hasattr(body, "read") else bytes(body)


def _summary(prefix: str, record: Record) -> dict[str, Any]:
    summary = {f"{prefix}Name": record.name, f"{prefix}Arn": record.arn, "CreationTime": record.created}
    if prefix == "Endpoint":
        summary |= {"LastModifiedTime": record.modified, "EndpointStatus": record.status}
    return summary
