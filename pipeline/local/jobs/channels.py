"""InputDataConfig: the channels of a training job, from S3 into /opt/ml/input/data."""

from __future__ import annotations

from pipeline.local.jobs import JobFailed
from pipeline.local.jobs.staging import entries, fetch, refuse_unless, share

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.jobs import JobContext
    from pipeline.local.jobs.hosts import Hosts

DATA = "/opt/ml/input/data"


async def fetch_channels(context: JobContext, request: dict[str, Any], hosts: Hosts) -> dict[str, Any]:
    """Fills every channel on every host; returns the content of inputdataconfig.json. Raises JobFailed."""
    mode = (request.get("AlgorithmSpecification") or {}).get("TrainingInputMode") or "File"
    described: dict[str, Any] = {}
    for channel in request.get("InputDataConfig") or []:
        name = channel["ChannelName"]
        if name in described:
            raise JobFailed(f"ClientError: channel {name!r} is there twice")
        described[name] = await _fetch(context, channel, channel.get("InputMode") or mode, hosts)
    return described


async def _fetch(context: JobContext, channel: dict[str, Any], mode: str, hosts: Hosts) -> dict[str, Any]:
    name = channel["ChannelName"]
    what = f"channel {name!r}"
    source = (channel.get("DataSource") or {}).get("S3DataSource")
    if not source:
        raise JobFailed(f"ClientError: {what} has no S3DataSource; file systems of AWS are not on this machine")
    if mode == "Pipe":
        raise JobFailed(
            f"ClientError: {what}: TrainingInputMode Pipe does not exist on this machine; use File or FastFile"
        )
    refuse_unless(mode, ("File", "FastFile"), f"{what}: TrainingInputMode")
    refuse_unless(source.get("S3DataType", "S3Prefix"), ("S3Prefix",), f"{what}: S3DataType")
    refuse_unless(channel.get("CompressionType") or "None", ("None",), f"{what}: CompressionType")
    refuse_unless(channel.get("RecordWrapperType") or "None", ("None",), f"{what}: RecordWrapperType")
    if mode == "FastFile":
        context.parity("FastFile", "objects were copied before the start instead of streamed")
    found = entries(context.storage, source["S3Uri"], what)
    distribution = source.get("S3DataDistributionType") or "FullyReplicated"
    for host in hosts.all:
        part = share(found, distribution, host.index, len(hosts.all), what)
        await fetch(context, part, host.folder(f"{DATA}/{name}"))
    described = {
        "TrainingInputMode": mode,
        "S3DistributionType": distribution,
        "RecordWrapperType": channel.get("RecordWrapperType") or "None",
    }
    if channel.get("ContentType"):
        described["ContentType"] = channel["ContentType"]
    return described
