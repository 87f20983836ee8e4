"""What the AWS training toolkit does in a PyTorch container: unpack the code, set SM_*, run the program with arguments.

After sagemaker-training 5.1.1 (environment.py, mapping.py, entry_point.py), the version in AWS's current images.
"""

from __future__ import annotations

import json
import os
import shutil

from pipeline.local.jobs import JobFailed, archive
from pipeline.local.jobs.staging import object_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.local.images import Image
    from pipeline.local.jobs import JobContext
    from pipeline.local.jobs.hosts import Host, Hosts

CODE = "/opt/ml/code"
MASTER_PORT = "7777"  # the toolkit's own
_CODE_BYTES = 2 << 30
_PROGRAM, _SUBMIT = "sagemaker_program", "sagemaker_submit_directory"
_OWN = (
    _PROGRAM,
    _SUBMIT,
    "sagemaker_enable_cloudwatch_metrics",
    "sagemaker_region",
    "sagemaker_container_log_level",
    "sagemaker_job_name",
    "default_user_module_name",
    "_tuning_objective_metric",
    "sagemaker_s3_output",
)
_TORCHRUN = "sagemaker_torch_distributed_enabled"
_LAUNCHERS = (
    "sagemaker_mpi_enabled",
    "sagemaker_parameter_server_enabled",
    "sagemaker_distributed_dataparallel_enabled",
    "sagemaker_pytorch_ddp_enabled",
    "sagemaker_pytorch_xla_multi_worker_enabled",
    "sagemaker_multi_worker_mirrored_strategy_enabled",
)


class Toolkit:
    """One job's hyperparameters, split as the toolkit splits them."""

    __slots__ = ("_own", "program", "submit_directory", "user")

    def __init__(self, hyperparameters: Mapping[str, str]) -> None:
        """Raises JobFailed without a program to run."""
        decoded = {name: decode(value) for name, value in hyperparameters.items()}
        self._own = {name: value for name, value in decoded.items() if name in _OWN or name.startswith("sagemaker_")}
        self.user = {name: value for name, value in decoded.items() if name not in self._own}
        self.program = str(self._own.get(_PROGRAM) or "")
        self.submit_directory = str(self._own.get(_SUBMIT) or CODE)
        if not self.program:
            raise JobFailed(
                "ClientError: the training image has no ContainerEntrypoint, and the hyperparameter sagemaker_program, "
                "which the AWS training toolkit needs, is missing"
            )
        for name in _LAUNCHERS:
            if self._own.get(name):
                raise JobFailed(
                    f"ClientError: hyperparameter {name}: this launcher is not on this machine; {_TORCHRUN} is"
                )

    def install(self, context: JobContext, host: Host) -> None:
        """Puts the code into /opt/ml/code. Raises JobFailed when it is not there, or is not what the toolkit takes."""
        target = host.folder(CODE)
        source = self.submit_directory
        if source.startswith("s3://"):
            path = os.path.join(host.private, "sourcedir.tar.gz")
            with open(path, "wb") as file:
                file.write(object_bytes(context.storage, source, f"hyperparameter {_SUBMIT}"))
            archive.unpack(path, target, source, _CODE_BYTES)
            os.remove(path)
        else:
            self._install_local(host.path(source), source, target)
        names = os.listdir(target)
        if self.program not in names and not os.path.isfile(os.path.join(target, self.program)):
            found = ", ".join(sorted(names)) or "nothing"
            raise JobFailed(f"ClientError: {_PROGRAM} {self.program!r} is not in {source}, which holds {found}")
        if "setup.py" in names:
            raise JobFailed(f"ClientError: {source} holds a setup.py: the toolkit would install it; remove it")
        if "requirements.txt" in names:
            context.parity("requirements.txt", "not installed: jobs use the packages of the image's command")

    def _install_local(self, path: str, source: str, target: str) -> None:
        if path == target:
            return
        if os.path.isdir(path):
            shutil.copytree(path, target, dirs_exist_ok=True)
        elif not os.path.isfile(path):
            raise JobFailed(f"ClientError: hyperparameter {_SUBMIT}: there is no {source!r} in the container")
        elif path.endswith(".py"):
            shutil.copy2(path, target)
        else:
            archive.unpack(path, target, source, _CODE_BYTES)

    def arguments(self) -> list[str]:
        """`--name value`, sorted; a dict becomes `k=v,…`; True stays `True`, as the toolkit writes it."""
        words = []
        for name in sorted(self.user):
            value = self.user[name]
            if isinstance(value, dict):
                value = ",".join(f"{key}={inner}" for key, inner in sorted(value.items()))
            words += [f"--{name}" if len(name) > 1 else f"-{name}", "" if value is None else str(value)]
        return words

    def command(self, image: Image, host: Host, hosts: Hosts, master: tuple[str, str]) -> list[str]:
        """`master`: address and port. Raises JobFailed for a program that torchrun cannot start."""
        if not self.program.endswith(".py"):
            return ["/bin/sh", "-c", 'exec "./$0" "$@"', self.program, *self.arguments()]
        if not self._own.get(_TORCHRUN):
            return [*image.command, self.program, *self.arguments()]
        options = ["--nnodes", str(len(hosts.names)), "--nproc_per_node", str(max(1, hosts.gpus))]
        if len(hosts.names) > 1:
            rank = str(hosts.names.index(host.name))
            options += ["--master_addr", master[0], "--master_port", master[1], "--node_rank", rank]
        return [*image.command, "-m", "torch.distributed.run", *options, self.program, *self.arguments()]

    def variables(
        self, resources: dict[str, Any], channels: dict[str, Any], cores: int, gpus: int, job_name: str
    ) -> dict[str, str]:
        """SM_* and what else the PyTorch container sets."""
        framework = {name: value for name, value in self._own.items() if name not in _OWN}
        inputs = {name: f"/opt/ml/input/data/{name}" for name in channels}
        hosts = resources["hosts"]
        group = resources["current_group_name"]
        shared: dict[str, Any] = {
            "channel_input_dirs": inputs,
            "current_host": resources["current_host"],
            "current_instance_group": group,
            "current_instance_group_hosts": hosts,
            "current_instance_type": resources["current_instance_type"],
            "distribution_instance_groups": [group] if self._own.get(_TORCHRUN) else [],
            "framework_module": "sagemaker_pytorch_container.training:main",
            "hosts": hosts,
            "input_config_dir": "/opt/ml/input/config",
            "input_data_config": channels,
            "input_dir": "/opt/ml/input",
            "instance_groups": [group],
            "instance_groups_dict": {group: resources["instance_groups"][0]},
            "is_hetero": False,
            "log_level": self._own.get("sagemaker_container_log_level", 20),
            "model_dir": "/opt/ml/model",
            "module_dir": self.submit_directory,
            "module_name": self.program.removesuffix(".py"),
            "network_interface_name": resources["network_interface_name"],
            "num_cpus": cores,
            "num_gpus": gpus,
            "num_neurons": 0,
            "output_data_dir": "/opt/ml/output/data",
            "output_dir": "/opt/ml/output",
            "output_intermediate_dir": "/opt/ml/output/intermediate",
            "resource_config": resources,
            "user_entry_point": self.program,
        }
        whole = {
            **shared,
            "additional_framework_parameters": framework,
            "hyperparameters": self.user,
            "is_master": resources["current_host"] == hosts[0],
            "job_name": self._own.get("sagemaker_job_name", job_name),
            "master_hostname": hosts[0],
        }
        values = {name: value for name, value in shared.items() if name != "channel_input_dirs"}
        values |= {
            "channels": sorted(channels),
            "framework_params": framework,
            "hps": self.user,
            "training_env": whole,
            "user_args": self.arguments(),
            **{f"channel_{name}": path for name, path in inputs.items()},
            **{f"hp_{name}": value for name, value in self.user.items()},
        }
        network = {"NCCL_SOCKET_IFNAME": resources["network_interface_name"], "NCCL_IB_DISABLE": "1"}
        own = {"CURRENT_HOST": resources["current_host"], **network}
        return {**own, **{f"SM_{name.upper()}": _text(value) for name, value in values.items()}}


def decode(value: str) -> Any:
    """A hyperparameter as the toolkit reads it: JSON if it is JSON, else the text itself."""
    try:
        return json.loads(value)
    except (ValueError, TypeError):
        return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
