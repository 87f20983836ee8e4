"""Every error that darkroom raises on purpose.

DarkroomError                 a sentence that names the subject and quotes the value, and a hint: what to type next
├── ConfigError               pipeline.yaml is wrong (all problems at once)
├── DefinitionError           a definition cannot be read or does not validate (all findings at once)
├── UnresolvedReference       a definition asks for a value that does not exist; names step and JSON path
├── ServiceError              a SageMaker, S3 or Lambda call was refused: the code is AWS's own, here and on AWS
│   ├── ModelError            an endpoint's model answered, and with an error of its own
│   └── Unavailable           it was throttled, broke or got no answer, also when it was repeated
├── StorageError              the disk is full, a folder cannot be written
└── EndpointError             an endpoint cannot start or does not answer
    └── BrokenOff             its model had taken the request, and ended before it answered
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


_OF_ONE_PART = (
    *("NoSuchKey", "NoSuchBucket", "PermanentRedirect", "InvalidObjectState"),
    *("ResourceNotFound", "ResourceNotFoundException", "ValidationException", "ValidationError"),
    *("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AllAccessDisabled"),
)


class DarkroomError(Exception):
    """An expected failure: printed as two lines, exit code 1, never a traceback."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(DarkroomError):
    """`problems`: one line each, opening with the path of the key in the file."""

    def __init__(self, source: str, problems: Sequence[str], hint: str = "") -> None:
        lines = "".join(f"\n  {problem}" for problem in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{source}: {count}{lines}", hint)
        self.problems = tuple(problems)


class DefinitionError(DarkroomError):
    """A pipeline definition is not one that the service would take."""


class UnresolvedReference(DarkroomError):
    """`path` is the JSON path of the reference inside the definition; `step` the step that holds it."""

    def __init__(self, step: str, path: str, message: str, hint: str = "") -> None:
        super().__init__(f"{step}: {path}: {message}", hint)
        self.step = step
        self.path = path


class ServiceError(DarkroomError):
    """The twin of botocore's ClientError, without importing botocore (110 ms).

    `code` is the modelled exception's name: ValidationException, ResourceNotFound, ResourceInUse, ConflictException,
    ResourceLimitExceeded, NoSuchKey, …; `operation` the API operation in CamelCase.
    """

    def __init__(self, code: str, message: str, operation: str = "", hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code
        self.operation = operation

    @property
    def is_of_one_part(self) -> bool:
        """What was asked for is not there, or not for this caller: other calls may well be answered.

        All else, such as credentials that have expired, is wrong with every call.
        """
        return self.code in _OF_ONE_PART

    @property
    def response(self) -> dict[str, Any]:
        """Shaped as ClientError.response, for code that is written against boto3."""
        return {"Error": {"Code": self.code, "Message": self.message}}


class ModelError(ServiceError):
    """InvokeEndpoint's, where the model said something: `status` and `said` are the model's own."""

    def __init__(self, message: str, status: int, said: str, hint: str = "") -> None:
        super().__init__("ModelError", message, "InvokeEndpoint", hint)
        self.members: dict[str, Any] = {"OriginalStatusCode": status, "OriginalMessage": said}

    @property
    def response(self) -> dict[str, Any]:
        return {**super().response, **self.members}


class Unavailable(ServiceError):
    """The same call may succeed later. `uncertain`: it may also have been done by now."""

    def __init__(self, code: str, message: str, operation: str = "", hint: str = "", uncertain: bool = False) -> None:
        super().__init__(code, message, operation, hint)
        self.uncertain = uncertain


class StorageError(DarkroomError):
    """The disk is full, a folder cannot be written, an address has no object."""


class EndpointError(DarkroomError):
    """An endpoint cannot start, or answers with an error; the message quotes it."""


class BrokenOff(EndpointError):
    """The request was taken, and then its model or its router ended: of the request, or of an update."""
