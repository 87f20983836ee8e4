"""CreateProcessingJob on this machine: S3 inputs in, one process an instance, outputs to S3."""

from __future__ import annotations

import os
import time

from pipeline.local import names
from pipeline.local.folders import PROCESSING
from pipeline.local.images import command_for
from pipeline.local.jobs import JobFailed
from pipeline.local.jobs.failure import left_by
from pipeline.local.jobs.hosts import Hosts, exit_code, note_simulated, wait
from pipeline.local.jobs.staging import Sync, entries, fetch, refuse_unless, share
from pipeline.local.jobs.tracking import Job, settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.images import Image
    from pipeline.local.jobs import JobContext
    from pipeline.local.jobs.hosts import Ended, Host

KIND = "processing-job"
MAX_RUNTIME_S = 86400  # the service's default
_CONFIG = "/opt/ml/config"
_MESSAGE = "/opt/ml/output/message"


async def run(request: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Raises JobFailed; returns the body of DescribeProcessingJob."""
    with context.store.transaction():
        job = Job(context, KIND, "Processing", request)
        context.announce({"ProcessingJob": {"Arn": job.arn}})
    return await settle(job, _work(job, request), context.log_path)


async def _work(job: Job, request: dict[str, Any]) -> dict[str, Any]:
    context = job.context
    application = request.get("AppSpecification") or {}
    image = command_for(context.store, application.get("ImageUri", ""), context.step.get("Name", ""))
    cluster = (request.get("ProcessingResources") or {}).get("ClusterConfig") or {}
    instance_type = str(cluster.get("InstanceType", ""))
    context.folders.take(context.work, PROCESSING)
    hosts = Hosts(context, int(cluster.get("InstanceCount") or 1), instance_type)
    note_simulated(context, image, instance_type)
    outputs = (request.get("ProcessingOutputConfig") or {}).get("Outputs") or []
    for output in outputs:
        _check_output(output)
    for host in hosts.all:
        await _prepare(job, request, hosts, host, outputs)
    job.body["ProcessingStartTime"] = time.time()
    job.save()
    ended = await _run_program(job, request, hosts, image, outputs)
    job.body["ProcessingEndTime"] = time.time()
    message = left_by(hosts, _MESSAGE)
    if message:
        job.body["ExitMessage"] = message
    _judge(job, ended, message)
    for output in outputs:
        for host in hosts.all:
            s3 = output["S3Output"]
            context.storage.upload(host.path(s3["LocalPath"]), s3["S3Uri"], move=True)
    return job.end("Completed")


async def _prepare(job: Job, request: dict[str, Any], hosts: Hosts, host: Host, outputs: list[dict[str, Any]]) -> None:
    for item in request.get("ProcessingInputs") or []:
        await _fetch_input(job, item, hosts, host)
    for output in outputs:
        host.folder(output["S3Output"]["LocalPath"])
    host.folder(os.path.dirname(_MESSAGE))
    hosts.write_json(host, f"{_CONFIG}/resourceconfig.json", hosts.resource_config(host))
    hosts.write_json(host, f"{_CONFIG}/processingjobconfig.json", _job_config(job))


async def _fetch_input(job: Job, item: dict[str, Any], hosts: Hosts, host: Host) -> None:
    what = f"ProcessingInput {item.get('InputName')!r}"
    source = item.get("S3Input")
    if not source:
        raise JobFailed(f"ClientError: {what} has no S3Input; a DatasetDefinition cannot be read on this machine")
    refuse_unless(source.get("S3DataType", "S3Prefix"), ("S3Prefix",), f"{what}: S3DataType")
    refuse_unless(source.get("S3InputMode") or "File", ("File",), f"{what}: S3InputMode")
    # Gzip works only in Pipe mode: on AWS, too, File mode unpacks nothing
    refuse_unless(source.get("S3CompressionType") or "None", ("None",), f"{what}: S3CompressionType")
    if not source.get("LocalPath"):
        raise JobFailed(f"ClientError: {what} has no LocalPath")
    found = entries(job.context.storage, source["S3Uri"], what)
    distribution = source.get("S3DataDistributionType") or ""
    part = share(found, distribution, host.index, len(hosts.all), what)
    await fetch(job.context, part, host.folder(source["LocalPath"]))


def _check_output(output: dict[str, Any]) -> None:
    what = f"ProcessingOutput {output.get('OutputName')!r}"
    target = output.get("S3Output")
    if not target or not target.get("LocalPath"):
        raise JobFailed(f"ClientError: {what} has no S3Output with a LocalPath; there is no feature store here")
    refuse_unless(target.get("S3UploadMode", "EndOfJob"), ("EndOfJob", "Continuous"), f"{what}: S3UploadMode")


def _job_config(job: Job) -> dict[str, Any]:
    """As the service writes processingjobconfig.json: the job as described, without its status and times."""
    hidden = ("ProcessingJobStatus", "CreationTime", "LastModifiedTime")
    return {key: value for key, value in job.body.items() if key not in hidden}


async def _run_program(
    job: Job, request: dict[str, Any], hosts: Hosts, image: Image, outputs: list[dict[str, Any]]
) -> Ended:
    application = request["AppSpecification"]
    argv = image.argv(application.get("ContainerEntrypoint") or [], application.get("ContainerArguments") or [])
    limit = float((request.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds") or MAX_RUNTIME_S)
    variables = {"AWS_REGION": names.REGION, "AWS_DEFAULT_REGION": names.REGION, **(request.get("Environment") or {})}
    running = []
    for host in hosts.all:
        env = {**hosts.environment(host), **variables}
        running.append((host, hosts.launch(host, image, argv, env, "/opt/ml")))
    syncs = [
        Sync(job.context.storage, host.path(output["S3Output"]["LocalPath"]), output["S3Output"]["S3Uri"])
        for output in outputs
        if output["S3Output"].get("S3UploadMode") == "Continuous"
        for host in hosts.all
    ]

    def tick() -> bool:
        for sync in syncs:
            sync.push()
        return False

    return await wait(job.context, running, limit, tick if syncs else None)


def _judge(job: Job, ended: Ended, message: str) -> None:
    """Raises JobFailed unless every process ended well and in time."""
    if ended.timed_out:
        job.end("Stopped")
        limit = (job.body.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds", MAX_RUNTIME_S)
        raise JobFailed(
            f"ClientError: the job ran longer than its StoppingCondition MaxRuntimeInSeconds={limit}",
            "",
            ended.host.log,
        )
    if ended.code:
        text = ended.problem or message or "See job logs for more information"
        raise JobFailed(f"AlgorithmError: {text}, {exit_code(ended.code)}", "", ended.host.log)
