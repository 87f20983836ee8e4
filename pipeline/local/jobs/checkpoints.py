"""CheckpointConfig: a folder of the job and an S3 address, in step with each other as SageMaker keeps them.

What stands at the address when the job starts is copied into the folder on every host; what is added there later is
not. New and changed files of the folder go to S3 while the program runs and after its end, however it ends; a file that
is deleted in the folder is deleted in S3. (https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints.html)
`/opt/ml/input/config/checkpointconfig.json` tells the program where the folder is, as AWS's own images read it
(sagemaker-xgboost-container, smdebug); it is not there without a CheckpointConfig.
"""

from __future__ import annotations

import time

from pipeline.local.jobs.staging import Sync, entries, fetch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.local.jobs import JobContext
    from pipeline.local.jobs.hosts import Host, Hosts

LOCAL_PATH = "/opt/ml/checkpoints"  # the service's default
EVERY_S = 1.0
TRIALS = (
    "each trial keeps its own below S3Uri, in a folder named by its hyperparameters; AWS's documentation does not say "
    "whether its trials share one"
)


class Checkpoints:
    """Of one training job; without a CheckpointConfig nothing is kept, and the folder does not exist."""

    __slots__ = ("_config", "_context", "_pushed", "_syncs")

    def __init__(self, context: JobContext, config: Mapping[str, Any] | None) -> None:
        self._context = context
        self._config = config
        self._syncs: list[Sync] = []
        self._pushed = time.monotonic()

    async def restore(self, hosts: Hosts, host: Host) -> None:
        """Fills the folder, which may stay empty: the address of a first job holds nothing yet."""
        if not self._config:
            return
        inside = self._config.get("LocalPath") or LOCAL_PATH
        folder = host.folder(inside)
        hosts.write_json(host, "/opt/ml/input/config/checkpointconfig.json", {"LocalPath": inside})
        storage, uri = self._context.storage, folder_address(self._config["S3Uri"])
        self._note_neighbours(uri)
        if any(True for _ in storage.list(uri)):
            await fetch(self._context, entries(storage, uri, "CheckpointConfig"), folder)
        sync = Sync(storage, folder, uri, mirror=True)
        sync.skip_present()
        self._syncs.append(sync)

    def push_if_due(self) -> None:
        if self._syncs and time.monotonic() - self._pushed >= EVERY_S:
            self.push()

    def push(self) -> None:
        for sync in self._syncs:
            sync.push()
        self._pushed = time.monotonic()

    def _note_neighbours(self, uri: str) -> None:
        """The service takes an address without `/` for a prefix: `…/run-1` also brings `…/run-10/…`."""
        given = self._config["S3Uri"] if self._config else ""
        if not given.endswith("/") and any(not item.uri.startswith(uri) for item in self._context.storage.list(given)):
            self._context.parity(
                f"CheckpointConfig {given}",
                "only what lies below it was restored; SageMaker would also bring what begins like it: end it in /",
            )


def of_trial(config: Mapping[str, Any], hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """The CheckpointConfig of one trial. A trial that is run again, after a kill, has the same hyperparameters."""
    import hashlib
    import json

    digest = hashlib.sha256(json.dumps(dict(hyperparameters), sort_keys=True).encode()).hexdigest()
    return {**config, "S3Uri": f"{folder_address(config['S3Uri'])}{digest[:16]}/"}


def folder_address(uri: str) -> str:
    return uri.rstrip("/") + "/"
