"""CreateTrainingJob on this machine: channels in, one process an instance, metrics from its log, model.tar.gz out."""

from __future__ import annotations

import math
import os
import time

from pipeline.local import names
from pipeline.local.images import command_for
from pipeline.local.jobs import JobFailed, archive
from pipeline.local.jobs.channels import fetch_channels
from pipeline.local.jobs.checkpoints import Checkpoints
from pipeline.local.jobs.debugger import Debugger
from pipeline.local.jobs.failure import failure_file, failure_text, last_error
from pipeline.local.jobs.hosts import Hosts, exit_code, feature_cache, free_port, note_simulated, wait
from pipeline.local.jobs.metrics import HISTORY, Metrics
from pipeline.local.jobs.staging import aside
from pipeline.local.jobs.toolkit import CODE, MASTER_PORT, Toolkit
from pipeline.local.jobs.tracking import Job, settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pipeline.local.images import Image
    from pipeline.local.jobs import JobContext
    from pipeline.local.jobs.hosts import Ended, Host

KIND = "training-job"
MAX_RUNTIME_S = 86400  # the service's default
_MODEL, _OUTPUT = "/opt/ml/model", "/opt/ml/output"
_INLINE_PACK_BYTES = 1 << 20


async def run(request: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Raises JobFailed; returns the body of DescribeTrainingJob."""
    job = Job(context, KIND, "Training", request)
    context.announce({"TrainingJob": {"Arn": job.arn}})
    return await settle(job, _run(job, request), context.log_path)


async def _run(job: Job, request: dict[str, Any]) -> dict[str, Any]:
    body = await TrainingRun(job, request).run()
    if body["TrainingJobStatus"] == "Stopped":
        limit = body["StoppingCondition"].get("MaxRuntimeInSeconds")
        raise JobFailed(
            f"ClientError: training was stopped (MaxRuntimeExceeded): it took longer than StoppingCondition "
            f"MaxRuntimeInSeconds={limit}; what it had saved is at {body['ModelArtifacts']['S3ModelArtifacts']}"
        )
    return body


class TrainingRun:
    """One training job from its request to its end; a tuning's trials are these, too."""

    def __init__(
        self,
        job: Job,
        request: dict[str, Any],
        cores: int = 0,
        on_metric: Callable[[str, float], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        """`cores`: how many all its instances may use, 0 for all; `should_stop` ends it early, as tuning may."""
        self.job = job
        self.request = request
        self.context = job.context
        self.algorithm: dict[str, Any] = request.get("AlgorithmSpecification") or {}
        self.hyperparameters: dict[str, str] = request.get("HyperParameters") or {}
        self.cores = cores
        self.on_metric = on_metric
        self.should_stop = should_stop
        self.checkpoints = Checkpoints(self.context, request.get("CheckpointConfig"))
        self.debugger = Debugger(job, request)
        self.command: list[str] = []
        self.port = MASTER_PORT

    async def run(self) -> dict[str, Any]:
        """Returns the body, Completed or Stopped. Raises JobFailed."""
        try:
            return await self._run()
        except BaseException:  # nothing stays InProgress in its record
            self.debugger.abandon()
            raise

    async def _run(self) -> dict[str, Any]:
        job, body = self.job, self.job.body
        body.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": MAX_RUNTIME_S})
        self.job.enter("Starting", "Preparing the instances for training")
        image = self._image()
        resources = self.request.get("ResourceConfig") or {}
        instance_type = str(resources.get("InstanceType", ""))
        hosts = Hosts(self.context, int(resources.get("InstanceCount") or 1), instance_type, self.cores)
        note_simulated(self.context, image, instance_type)
        toolkit = Toolkit(self.hyperparameters) if self._plays_toolkit(image) else None
        if toolkit is not None and (len(hosts.all) > 1 or hosts.gpus > 1):
            self.port = free_port(self.context, MASTER_PORT)
        self.job.enter("Downloading", "Downloading input data")
        channels = await fetch_channels(self.context, self.request, hosts)
        for host in hosts.all:
            await self._prepare(hosts, host, channels)
            if toolkit is not None:
                toolkit.install(self.context, host)
        self.job.enter("Training", "Training image download completed. Training in progress.")
        body["TrainingStartTime"] = time.time()
        job.save()
        ended = await self._train(hosts, image, toolkit, channels)
        try:
            self._judge(hosts, ended, toolkit is not None)
        except JobFailed:
            await self.debugger.conclude(hosts, image)
            raise
        self.job.enter("Uploading", "Uploading generated training model")
        await self._upload(hosts)
        await self.debugger.conclude(hosts, image)
        return self._finish(ended)

    def _image(self) -> Image:
        uri = self.algorithm.get("TrainingImage")
        if not uri:
            raise JobFailed(
                f"ClientError: AlgorithmSpecification has no TrainingImage "
                f"(AlgorithmName {self.algorithm.get('AlgorithmName')!r}): algorithms of AWS exist only there"
            )
        return command_for(self.context.store, uri, self.context.step.get("Name", ""))

    def _plays_toolkit(self, image: Image) -> bool:
        return image.is_python and not self.algorithm.get("ContainerEntrypoint")

    async def _prepare(self, hosts: Hosts, host: Host, channels: dict[str, Any]) -> None:
        for folder in (_MODEL, f"{_OUTPUT}/data", f"{_OUTPUT}/intermediate", CODE):
            host.folder(folder)
        config = "/opt/ml/input/config"
        hosts.write_json(host, f"{config}/hyperparameters.json", self.hyperparameters)
        hosts.write_json(host, f"{config}/inputdataconfig.json", channels)
        hosts.write_json(host, f"{config}/resourceconfig.json", hosts.resource_config(host))
        self.debugger.prepare(hosts, host)
        await self.checkpoints.restore(hosts, host)

    async def _train(self, hosts: Hosts, image: Image, toolkit: Toolkit | None, channels: dict[str, Any]) -> Ended:
        logs = {host.log: os.path.getsize(host.log) if os.path.exists(host.log) else 0 for host in hosts.all}
        metrics = Metrics(self.algorithm.get("MetricDefinitions") or [], logs, self.on_metric)
        running = [(host, self._launch(hosts, host, image, toolkit, channels)) for host in hosts.all]
        limit = float(self.job.body["StoppingCondition"].get("MaxRuntimeInSeconds") or MAX_RUNTIME_S)

        def tick() -> bool:
            if metrics.poll():
                self._note(metrics)
            self.checkpoints.push_if_due()
            return self.should_stop is not None and self.should_stop()

        try:
            return await wait(self.context, running, limit, tick)
        finally:
            metrics.poll(final=True)
            self._note(metrics)
            self.checkpoints.push()
            self.job.body["TrainingEndTime"] = time.time()

    def _launch(self, hosts: Hosts, host: Host, image: Image, toolkit: Toolkit | None, channels: dict[str, Any]) -> Any:
        variables = {
            "AWS_REGION": names.REGION,
            "AWS_DEFAULT_REGION": names.REGION,
            "TRAINING_JOB_NAME": self.context.job_name,
            "TRAINING_JOB_ARN": self.job.arn,
        }
        if toolkit is None:
            arguments = self.algorithm.get("ContainerArguments") or []
            self.command = image.argv(self.algorithm.get("ContainerEntrypoint") or [], arguments, ["train"])
            cwd = "/opt/ml"
        else:
            resources = hosts.resource_config(host)
            variables |= toolkit.variables(resources, channels, hosts.cores, hosts.gpus, self.context.job_name)
            master = hosts.names[0] if self.context.isolation.kind == "namespace" else "127.0.0.1"
            self.command = toolkit.command(image, host, hosts, (master, self.port))
            variables |= {"PYTHONPATH": CODE, "MASTER_ADDR": master, "MASTER_PORT": self.port}
            variables |= feature_cache(self.context)
            cwd = CODE
        variables |= self.debugger.variables()
        env = {**hosts.environment(host), **variables, **(self.request.get("Environment") or {})}
        return hosts.launch(host, image, self.command, env, cwd)

    def _note(self, metrics: Metrics) -> None:
        final = metrics.final()
        if final:
            self.job.body["FinalMetricDataList"] = final
            self.job.body[HISTORY] = metrics.history
            self.job.save()

    def _judge(self, hosts: Hosts, ended: Ended, plays_toolkit: bool) -> None:
        """Raises JobFailed for a process that failed by itself."""
        if ended.timed_out or ended.halted or not ended.code:
            return
        text = ended.problem or failure_file(hosts)
        if not text and plays_toolkit:
            text = failure_text(self.command, ended.code, last_error(ended.host.log))
        suffix = f", {exit_code(ended.code)}"
        raise JobFailed(f"AlgorithmError: {text[: 1000 - len(suffix)]}{suffix}", "", ended.host.log)

    async def _upload(self, hosts: Hosts) -> None:
        output = self.request.get("OutputDataConfig") or {}
        base = f"{output.get('S3OutputPath', '').rstrip('/')}/{self.context.job_name}/output"
        plain = output.get("CompressionType") == "NONE"
        for inside, name, always in ((_MODEL, "model", True), (f"{_OUTPUT}/data", "output", False)):
            folders = [host.path(inside) for host in hosts.all]
            files = archive.contents(folders)
            if not files and not always:
                continue
            if plain:
                for relative, path in files:
                    self.context.storage.put_file(f"{base}/{name}/{relative}", path)
            else:
                await self._pack(files, f"{base}/{name}.tar.gz")
        uri = f"{base}/model/" if plain else f"{base}/model.tar.gz"
        self.job.body["ModelArtifacts"] = {"S3ModelArtifacts": uri}

    async def _pack(self, files: list[tuple[str, str]], uri: str) -> None:
        path = os.path.join(self.context.work, uri.rpartition("/")[2])
        if sum(os.path.getsize(file) for _, file in files) < _INLINE_PACK_BYTES:
            archive.pack(files, path)
        else:
            await aside(self.context, lambda: archive.pack(files, path))
        self.context.storage.put_file(uri, path, move=True)

    def _finish(self, ended: Ended) -> dict[str, Any]:
        body = self.job.body
        seconds = max(1, math.ceil(body["TrainingEndTime"] - body["TrainingStartTime"]))
        body["TrainingTimeInSeconds"] = body["BillableTimeInSeconds"] = seconds
        if ended.timed_out:
            self.job.enter("MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds provided")
            status = "Stopped"
        elif ended.halted:
            self.job.enter("Stopped", "Training job stopped")
            status = "Stopped"
        else:
            self.job.enter("Completed", "Training job completed")
            status = "Completed"
        return self.job.end(status)
