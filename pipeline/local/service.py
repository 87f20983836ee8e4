"""SageMaker on this machine: the operations of boto3's `sagemaker` client over one durable store."""

from __future__ import annotations

from pipeline.local import runner
from pipeline.local.operations.asynchronous import Asynchronous
from pipeline.local.operations.endpoints import Endpoints, Runtime
from pipeline.local.operations.executions import Executions
from pipeline.local.operations.jobs import Jobs
from pipeline.local.operations.registry import Registry
from pipeline.local.operations.transforms import Transforms
from pipeline.local.storage import Storage
from pipeline.local.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class LocalSageMaker(Executions, Transforms, Jobs, Registry, Endpoints, Runtime, Asynchronous):
    """Named and shaped as boto3's client: keywords in, dict out, ServiceError where boto3 raises ClientError."""

    def __init__(self, home: str, start_runner: Callable[[str, str], int | None] = runner.start) -> None:
        self.home = home
        self.start_runner = start_runner
        self.ending = runner.Ending()
        self.display_names = {}
        self.store = Store(home)
        self.storage = Storage(home)


def connect(home: str) -> LocalSageMaker:
    """`home` is the folder that holds everything (.darkroom); created when missing."""
    return LocalSageMaker(home)
