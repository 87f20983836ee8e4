"""SageMaker Debugger for a training job: the hook's configuration, the saved tensors in S3, the rules' statuses.

`/opt/ml/input/config/debughookconfig.json` is what smdebug reads (smdebug/core/json_config.py); what it saves below
LocalPath goes to `<S3OutputPath>/<job>/debug-output/`. AWS judges rules in images of its own, whose code was never
public. Here a module of the job's own code does, in a process beside it when the training has ended: darkroom's
entrypoints/health/debugger/evaluate.py, or whatever has its place and its command line.
"""

from __future__ import annotations

import os
from contextlib import suppress

from pipeline.errors import DarkroomError
from pipeline.local import names
from pipeline.local.container import ML
from pipeline.local.jobs import JobFailed, evaluator, rule_statuses
from pipeline.local.jobs.rule_statuses import DEBUG, ERROR, PROFILER
from pipeline.local.jobs.staging import aside
from pipeline.local.jobs.toolkit import CODE
from pipeline.local.storage import copy_file
from pipeline.objects import split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.local.images import Image
    from pipeline.local.jobs.hosts import Host, Hosts
    from pipeline.local.jobs.rule_statuses import Answers
    from pipeline.local.jobs.tracking import Job

LOCAL_PATH = "/opt/ml/output/tensors"  # the service's default, and smdebug's
CONFIG = "/opt/ml/input/config/debughookconfig.json"
CONFIG_VARIABLE = "SMDEBUG_CONFIG_FILE_PATH"
PROFILE = "/opt/ml/output/data/health/profiler-report.html"
_UNFINISHED = (".tmp", ".sagemaker-ignore")  # what smdebug is still writing, and what SageMaker does not upload
_INLINE_FILES = 2000  # a rename takes some 20 µs


class Debugger:
    """Of one training job. Without DebugHookConfig and rules it does nothing."""

    __slots__ = ("_hook", "_hosts", "_job", "_rules", "_where")

    def __init__(self, job: Job, request: Mapping[str, Any]) -> None:
        """Raises JobFailed for members of other types than the service's."""
        self._job = job
        [self._hook] = _structures([request.get("DebugHookConfig") or {}], "DebugHookConfig")
        self._rules = _structures(request.get("DebugRuleConfigurations") or [], "DebugRuleConfigurations")
        self._where = self._hook.get("LocalPath") or LOCAL_PATH
        self._hosts: Hosts | None = None  # those whose tensors are not in S3 yet
        profiler = _structures(request.get("ProfilerRuleConfigurations") or [], "ProfilerRuleConfigurations")
        for member, rules in ((DEBUG, self._rules), (PROFILER, profiler)):
            if rules:
                job.body[member] = rule_statuses.begun(rules)
        if profiler or request.get("ProfilerConfig"):
            job.body["ProfilingStatus"] = "Disabled"  # its service is not here

    @property
    def address(self) -> str:
        """Where the tensors go; every job has a folder of its own."""
        return f"{str(self._hook.get('S3OutputPath', '')).rstrip('/')}/{self._job.context.job_name}/debug-output"

    def prepare(self, hosts: Hosts, host: Host) -> None:
        """Raises JobFailed for an address or a folder that cannot be."""
        if not self._hook:
            return
        try:
            split(self.address)
        except DarkroomError as exc:
            raise JobFailed(f"ClientError: DebugHookConfig S3OutputPath: {exc.message}") from exc
        host.folder(self._where)
        collections = self._hook.get("CollectionConfigurations")
        if collections is not None:
            listed = _structures(collections, "DebugHookConfig CollectionConfigurations")
            collections = [{"CollectionParameters": None, **each} for each in listed]
        content = {
            "S3OutputPath": self._hook.get("S3OutputPath"),
            "LocalPath": self._where,
            "HookParameters": self._hook.get("HookParameters"),  # null where there are none: smdebug expects it
            "CollectionConfigurations": collections,
        }
        hosts.write_json(host, CONFIG, content)
        self._hosts = hosts

    def variables(self) -> dict[str, str]:
        """Where /opt/ml is not really there, smdebug has to be told of its file."""
        return {CONFIG_VARIABLE: CONFIG} if self._hook and self._job.context.isolation.kind == "rewrite" else {}

    async def conclude(self, hosts: Hosts, image: Image) -> None:
        """After the training, however it ended: judges the rules and brings the tensors to S3.

        What goes wrong with the rules is their status, never the job's. Raises StorageError, as for other outputs.
        """
        body = self._job.body
        if DEBUG in body:
            self._job.save(now=True)
            body[DEBUG] = rule_statuses.ended(body[DEBUG], await self._judged(hosts, image))
        if PROFILER in body:
            body[PROFILER] = rule_statuses.alike(body[PROFILER], ERROR, _no_profiler(hosts))
        files = self._left()
        if len(files) > _INLINE_FILES:
            await aside(self._job.context, lambda: self._upload(files))
        else:
            self._upload(files)
        self._hosts = None

    def abandon(self) -> None:
        """For a job that ends before its rules were judged, because it was stopped or never began."""
        with suppress(DarkroomError, OSError):  # why it ends says more
            self._upload(self._left())
        self._hosts = None
        self._job.body |= rule_statuses.stopped(self._job.body, "the job ended before its rules were judged")

    def _left(self) -> list[tuple[str, str]]:
        """(name below the address, path) of what the instances saved. Workers have names of their own (worker_0 …);
        where two instances used the same, the first one's counts."""
        found: dict[str, str] = {}
        for host in self._hosts.all if self._hosts else ():
            top = host.path(self._where)
            for where, _, files in os.walk(top) if _is_no_link(host, top) else ():
                for name in files:
                    path = os.path.join(where, name)
                    if os.path.isfile(path) and not os.path.islink(path) and not name.endswith(_UNFINISHED):
                        found.setdefault(os.path.relpath(path, top).replace(os.sep, "/"), path)
        return sorted(found.items())

    def _upload(self, files: list[tuple[str, str]]) -> None:
        for name, path in files:
            self._job.context.storage.put_file(f"{self.address}/{name}", path, move=True)

    async def _judged(self, hosts: Hosts, image: Image) -> Answers:
        host = hosts.all[0]
        why = self._not_possible(image, host)
        if not why:
            try:
                return await self._evaluated(hosts, host, image)
            except rule_statuses.Unreadable as exc:
                context = self._job.context
                why = (
                    f"the evaluator failed: {exc}; darkroom logs {context.execution_id} {context.step.get('Name', '')}"
                )
            except (DarkroomError, OSError) as exc:
                why = f"the rules could not be judged: {exc}"
        return {row["RuleConfigurationName"]: (ERROR, why) for row in self._job.body[DEBUG]}

    def _not_possible(self, image: Image, host: Host) -> str:
        if not self._hook:
            return "Not evaluated: the job has no DebugHookConfig: give it one with an S3OutputPath"
        if image.is_python and os.path.isfile(os.path.join(host.path(CODE), evaluator.FILE)):
            return ""
        return (
            f"Not evaluated: AWS's evaluator image is not on this machine, and the job's code has no {evaluator.FILE}, "
            f"which would do it here: copy darkroom's entrypoints/health into the code, or run the job on AWS. "
            f"What was saved is at {self.address}/"
        )

    async def _evaluated(self, hosts: Hosts, host: Host, image: Image) -> Answers:
        """Raises Unreadable."""
        folder = f"/opt/ml/debugger-{names.random_id(8)}"  # nothing that the job made can lie there
        host.folder(folder)
        tensors = self._where if len(hosts.all) == 1 else self._merged(host, f"{folder}/tensors")
        return await evaluator.run(self._job.context, hosts, image, folder, tensors, self._rules)

    def _merged(self, host: Host, inside: str) -> str:
        """All instances' files in one folder, as they will lie in S3."""
        top = host.folder(inside)
        for name, path in self._left():
            target = os.path.join(top, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            try:
                os.link(path, target)
            except OSError:  # not every file system has hard links
                copy_file(path, target)
        return inside


def _is_no_link(host: Host, path: str) -> bool:
    """Nor any folder above it: what is below would be moved away, and may be nobody's of the job."""
    tree = host.path(ML)
    return os.path.realpath(path) == os.path.realpath(tree) + path[len(tree) :]


def _structures(found: Any, member: str) -> list[dict[str, Any]]:
    """Raises JobFailed."""
    if not isinstance(found, list):
        raise JobFailed(f"ClientError: {member} is {found!r:.80}, which is no list")
    for each in found:
        if not isinstance(each, dict):
            raise JobFailed(f"ClientError: {member}: {each!r:.80} is no structure")
    return found


def _no_profiler(hosts: Hosts) -> str:
    own = any(os.path.isfile(host.path(PROFILE)) for host in hosts.all)
    instead = "; the job's own profile is health/profiler-report.html in its output.tar.gz" if own else ""
    return f"Not evaluated: SageMaker's profiler is not on this machine{instead}"
