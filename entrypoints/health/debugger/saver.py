"""smdebug's hook as a training of ours needs it: told of steps instead of counting forward passes, without a thread.

Imported only where smdebug is (health.debugger.installing): nothing else may name this module at import.
"""

from __future__ import annotations

import atexit
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from smdebug import modes
from smdebug.core.locations import TensorLocation
from smdebug.core.tfevent.events_writer import EventsWriter
from smdebug.core.tfevent.proto.event_pb2 import Event
from smdebug.core.utils import get_relative_event_file_path
from smdebug.core.writer import FileWriter
from smdebug.pytorch import Hook
from torch import Tensor

FOLDER = "/opt/ml/output/tensors"  # as smdebug has it
ENDED = "training_job_end.ts"


class Bytes(np.ndarray[Any, Any]):
    """smdebug asks arrays for `tostring`, which numpy 2.2 warns of and 2.3 no longer has."""

    tostring = np.ndarray.tobytes


class Events:
    """In the place of smdebug's EventFileWriter, whose thread dies of a full disk, and whoever waits for it hangs."""

    def __init__(self, path: str, index: Any) -> None:
        self.writer, self.index = EventsWriter(path=path, index_writer=index), index
        self.writer.init()
        self.file = get_relative_event_file_path(path)

    def write_summary_with_index(
        self, summary: Any, step: int, name: str, mode: Any, mode_step: int, timestamp: float | None = None
    ) -> None:
        event = Event(summary=summary, step=step, wall_time=timestamp or time.time())
        start, length = self.writer.write_event(event)
        self.index.add_index(TensorLocation(name, mode.name, mode_step, self.file, start, length, None))

    def flush(self) -> None:
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class Files(FileWriter):  # type: ignore[misc]  # smdebug has no types
    @property
    def proto_writer(self) -> Events:
        """Made when there is something to write: else each step would leave an empty file."""
        if self._proto_writer is None:
            self._proto_writer = Events(self.event_file_path, self.index_writer)
        return self._proto_writer


class Saver(Hook):  # type: ignore[misc]
    """Raises whatever smdebug raises: what its error handling would hide, for the rest of the job, is said here."""

    def __init__(self, **settings: Any) -> None:
        self.saved_steps = 0
        self.due: set[str] = set()  # names of the collections that are saved at this step
        try:
            Hook.__init__.__wrapped__(self, **settings)
        finally:
            atexit.unregister(self._cleanup)
        atexit.unregister(self.profiler_config_parser.stop_post_hook_close_python_profiling)
        self.first_process = True  # ranks are numbered: no claim file, which a killed job would leave behind

    def starts(self, train_steps: int, validations: int) -> None:
        """What of both a resumed job had done: the same step has the same number in every life of a job."""
        self._prepare_collections()
        self.step = train_steps + validations - 1
        self.mode_steps = {modes.GLOBAL: self.step, modes.TRAIN: train_steps - 1, modes.EVAL: validations - 1}

    def clears(self, resumed: bool) -> None:
        """Of this worker alone, as others may have begun: what an earlier training saved is nothing of this one; an
        earlier life of it leaves whole files, and halves of them that smdebug would append to."""
        folder, workers = Path(self.out_dir), [self.worker]
        if self.worker == self.chief_worker:
            every = {file.stem.partition("_")[2] for file in folder.glob("index/*/*.json")}
            workers += [name for name in every if not self._is_of_this_job(name)]
        for worker in workers:
            for file in folder.glob(f"*/*/*_{worker}.*"):
                if not resumed or file.suffix == ".tmp":
                    file.unlink(missing_ok=True)

    def _is_of_this_job(self, worker: str) -> bool:
        number = worker.removeprefix("worker_")
        return number.isdecimal() and int(number) < self._get_num_workers()

    def begins(self, mode: str) -> set[str]:
        """The next step of that mode; gives `due`."""
        self.ends()
        self.set_mode(modes[mode])
        self._increment_step()
        self.due = {collection.name for collection in self._get_collections_to_save_for_step()}
        if self.due:
            self._initialize_writers()
            self.saved_steps += 1
        return self.due

    def ends(self) -> None:
        """Now the files of the step are whole."""
        if self.writer is not None:
            self._close_writers()
            self.last_saved_step = self.step
        if self.last_saved_step is not None and not self.exported_collections:
            self.export_collections()
            self.exported_collections = True

    def saves(self, name: str, value: Tensor) -> None:
        """Where a collection that is due has it."""
        self._save_for_tensor(name, value)

    def proves(self, name: str, value: Tensor) -> None:
        """A step of its own with one tensor, whatever the collections say."""
        self.set_mode(modes.TRAIN)
        self._increment_step()
        self._initialize_writers()
        self._write_raw_tensor_simple(name, value)
        self.ends()

    def passes(self, module: str, inputs: Any, outputs: Any) -> None:
        """Given to a module, or by it."""
        if inputs is not None:
            self._write_inputs(module, inputs)
        if outputs is not None:
            self._write_outputs(module, outputs)

    def collections(self) -> list[str]:
        return sorted(collection.name for collection in self._get_all_collections_to_save())

    def _write(self, module_name: str, var: Any, suffix: str, idx: int) -> int:
        """smdebug asks for the name of the class, which parameters and subclasses of tensors have another of."""
        if isinstance(var, Tensor):
            self._save_for_tensor(f"{module_name}{suffix}{idx}", var)
            return idx + 1
        for each in var if isinstance(var, (tuple, list)) else ():
            idx = self._write(module_name, each, suffix, idx)
        return idx

    def _initialize_writers(self, only_initialize_if_missing: bool = False) -> None:
        if not (only_initialize_if_missing and self.writer):
            self.writer = Files(trial_dir=self.out_dir, step=self.step, worker=self.worker)

    def _get_worker_name(self) -> str:
        """Without smdebug's look for Horovod."""
        return f"worker_{torch.distributed.get_rank() if torch.distributed.is_initialized() else 0}"

    def _get_num_workers(self) -> int:
        return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1

    def _maybe_get_tb_writer(self) -> None:
        """No TensorBoard: it would write by a thread."""

    def _write_state(self) -> None:
        """smdebug would look through the checkpoints at each step, and leave a file among them."""

    @staticmethod
    def _make_numpy_array(tensor_value: Any) -> Any:
        """numpy has no bfloat16."""
        if isinstance(tensor_value, Tensor):
            value = tensor_value.detach()
            value = value.float() if value.dtype in (torch.bfloat16, torch.float8_e4m3fn) else value
            tensor_value = value.cpu().numpy()
        return np.ascontiguousarray(tensor_value).reshape(np.shape(tensor_value)).view(Bytes)


def made(config: Path, folder: str | None = None) -> Saver:
    """As the file says; `folder` in the place of its own."""
    from smdebug.core.json_config import create_hook_from_json_config

    def hook(**settings: Any) -> Saver:
        return Saver(**(settings | ({"out_dir": folder} if folder else {})))

    saver: Saver = create_hook_from_json_config(hook, json_config_path=str(config))
    return saver
