"""One job type a file; this one holds what the executor and the job drivers agree on.

A driver is `async def run(request, context) -> dict`: `request` is the step's Arguments with every placeholder
resolved. It adds its record to the store (`context.store.add(kind, context.job_name, body, "InProgress", arn)`), calls
`context.announce(metadata)` with what ListPipelineExecutionSteps shows as the step's Metadata, runs the work in child
processes, and returns the body of the Describe call in its final form: every property that a definition can
reference is really in it.
A failed job: the record says Failed with its FailureReason, then JobFailed is raised.
A cancelled one (loop.Cancelled, thrown where it waits): children are stopped, the record says Stopped, and Cancelled
goes on up.
"""

from __future__ import annotations

from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from pipeline.local.folders import Folders
    from pipeline.local.isolation import Isolation
    from pipeline.local.loop import Loop
    from pipeline.local.storage import Storage
    from pipeline.local.store import Store

    Driver = Callable[[dict[str, Any], "JobContext"], Coroutine[Any, Any, dict[str, Any]]]

# step type → the driver's module in this package
MODULES = {
    "Processing": "processing",
    "Training": "training",
    "Tuning": "tuning",
    "Transform": "transform",
    "Model": "model",
    "RegisterModel": "registermodel",
    "EndpointConfig": "endpointconfig",
    "Endpoint": "endpoint",
    "Lambda": "function",
    "Callback": "callback",
}
# step type → the record's kind in the store
KINDS = {
    "Processing": "processing-job",
    "Training": "training-job",
    "Tuning": "hyper-parameter-tuning-job",
    "Transform": "transform-job",
    "Model": "model",
    "RegisterModel": "model-package",
    "EndpointConfig": "endpoint-config",
    "Endpoint": "endpoint",
    "Lambda": "function-invocation",
    "Callback": "callback",
}
JOB_INTERNAL_ERROR = "SageMaker.JOB_INTERNAL_ERROR"
SERVICE_FAULT = "Step.SERVICE_FAULT"


class JobFailed(DarkroomError):
    """`message` is the FailureReason; `exception_type` what a retry policy may name (empty: no policy applies)."""

    def __init__(self, reason: str, exception_type: str = "", log_path: str = "") -> None:
        super().__init__(reason)
        self.exception_type = exception_type
        self.log_path = log_path


class JobContext:
    """What a driver may use. `work` is a private folder for this job, removed by the driver when it ends."""

    __slots__ = (
        "announce",
        "execution_arn",
        "execution_id",
        "folders",
        "isolation",
        "job_name",
        "log_path",
        "loop",
        "parity",
        "previous_job",
        "step",
        "storage",
        "store",
        "work",
    )

    def __init__(
        self,
        *,
        store: Store,
        storage: Storage,
        loop: Loop,
        isolation: Isolation,
        folders: Folders,
        execution_arn: str,
        execution_id: str,
        step: dict[str, Any],
        job_name: str,
        work: str,
        log_path: str,
        previous_job: str,
        announce: Callable[[dict[str, Any]], None],
        parity: Callable[[str, str], None],
    ) -> None:
        self.store = store
        self.storage = storage
        self.loop = loop
        self.isolation = isolation
        self.folders = folders
        self.execution_arn = execution_arn
        self.execution_id = execution_id
        self.step = step  # the step's whole body, placeholders resolved (Lambda: FunctionArn, OutputParameters, …)
        self.job_name = job_name
        self.work = work
        # <home>/logs/<execution id>/<step>.log; a driver with several processes adds -<n> before .log
        self.log_path = log_path
        self.previous_job = previous_job  # the job that a killed runner left behind for this very step, or ""
        self.announce = announce  # announce({"TrainingJob": {"Arn": …}})
        self.parity = parity  # parity("ml.m5.xlarge", "this machine: 2 cores"): what was simulated, and how
