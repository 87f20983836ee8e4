"""Lambda's Invoke: a function that is registered on this machine, called as its other callers would."""

from __future__ import annotations

from pipeline.errors import DarkroomError, ServiceError
from pipeline.local import names
from pipeline.local.operations.answers import Operations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.store import Record

LARGEST_EVENT = 6 << 20  # bytes of a synchronous call


class Functions(Operations):
    """The lambda client's one operation."""

    def invoke(
        self,
        FunctionName: str,
        Payload: Any = b"null",
        InvocationType: str = "RequestResponse",
        Qualifier: str = "",
        **_: str,
    ) -> dict[str, Any]:
        """`Payload` of the answer has read(), as boto3's has. What the handler raises is no error of this call."""
        import io
        import json

        from pipeline.local import function_process

        function = self._function(FunctionName, Qualifier)
        event = _event(Payload)
        if InvocationType == "DryRun":
            return {"StatusCode": 204, "ExecutedVersion": "$LATEST", "Payload": io.BytesIO()}
        if InvocationType != "RequestResponse":
            message = f"InvocationType {InvocationType!r}: this machine calls functions while their callers wait"
            raise ServiceError("InvalidParameterValueException", message, "Invoke")
        result = function_process.call(self.home, function, event)
        failed = {"FunctionError": "Unhandled"} if "errorType" in result else {}
        payload = json.dumps(result if failed else result["value"]).encode()
        return {"StatusCode": 200, **failed, "ExecutedVersion": "$LATEST", "Payload": io.BytesIO(payload)}

    def _function(self, name: str, qualifier: str) -> Record:
        """By its ARN or its name; versions and aliases are the function itself where they have no code of their own."""
        from pipeline.local.functions import find_function

        arn = name if name.startswith("arn:") else f"arn:aws:lambda:{names.REGION}:{names.ACCOUNT}:function:{name}"
        arn = f"{arn}:{qualifier}" if qualifier else arn
        try:
            return find_function(self.store, arn)
        except DarkroomError as exc:
            raise ServiceError("ResourceNotFoundException", f"Function not found: {arn}", "Invoke", exc.hint) from exc


def _event(payload: Any) -> Any:
    """Raises ServiceError for what is too large, or no JSON."""
    import json

    data = payload.encode() if isinstance(payload, str) else payload
    if len(data) > LARGEST_EVENT:
        message = f"the event has {len(data)} bytes; a call takes {LARGEST_EVENT}"
        raise ServiceError("RequestTooLargeException", message, "Invoke")
    try:
        return json.loads(data or b"null")
    except (ValueError, RecursionError) as exc:
        message = f"Could not parse request body into json: {exc}"
        raise ServiceError("InvalidRequestContentException", message, "Invoke") from exc
