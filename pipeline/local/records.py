"""Executions and their steps as rows of the store."""

from __future__ import annotations

import json
import os
import time

from pipeline.digest import sha256_hex
from pipeline.errors import ServiceError
from pipeline.local import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from typing import Any

    from pipeline.local.store import Store

RUNNING = ("Executing", "Stopping")
# a step's own success, not a cache hit (those keep no key); as the partial indexes of the store have it
_SUCCESS = "pipeline=? AND name=? AND status='Succeeded' AND cache_digest!=''"
ENDED = ("Succeeded", "Failed", "Stopped")


class Execution:
    """One row of `executions`; methods that change it write through."""

    __slots__ = (
        "arn",
        "body",
        "created",
        "definition",
        "ended",
        "failure",
        "heartbeat",
        "id",
        "modified",
        "pipeline",
        "runner",
        "status",
        "stopping",
        "version",
    )

    def __init__(self, row: sqlite3.Row) -> None:
        self.id: str = row["id"]
        self.arn: str = row["arn"]
        self.pipeline: str = row["pipeline"]
        self.version: int = row["version"]
        self.status: str = row["status"]
        self.created: float = row["created"]
        self.modified: float = row["modified"]
        self.ended: float | None = row["ended"]
        self.failure: str = row["failure"]
        self.stopping = bool(row["stop_requested"])
        self.heartbeat: float = row["heartbeat"]
        self.runner: dict[str, Any] = json.loads(row["runner"])
        self.body: dict[str, Any] = json.loads(row["body"])
        self.definition = ""  # loaded when asked for: it may be a megabyte

    @classmethod
    def get(cls, store: Store, arn_or_id: str) -> Execution:
        """Raises ServiceError ResourceNotFound."""
        rows = store.query("SELECT * FROM executions WHERE arn=? OR id=?", arn_or_id, arn_or_id)
        if not rows:
            message = f"Pipeline execution with ARN {arn_or_id!r} does not exist"
            raise ServiceError("ResourceNotFound", message, hint="darkroom executions")
        return cls(rows[0])

    @classmethod
    def add(cls, store: Store, pipeline: str, version: int, body: dict[str, Any]) -> Execution:
        execution_id = names.random_id()
        arn = names.arn("pipeline", f"{pipeline}/execution/{execution_id}")
        now = time.time()
        store.execute(
            "INSERT INTO executions (id, arn, pipeline, version, status, created, modified, heartbeat, body)"
            " VALUES (?,?,?,?,'Executing',?,?,?,?)",
            *(execution_id, arn, pipeline, version, now, now, now, json.dumps(body)),
        )
        return cls.get(store, execution_id)

    def load_definition(self, store: Store) -> None:
        version = store.get("pipeline-version", f"{self.pipeline}/{self.version}")
        self.definition = version.body["PipelineDefinition"]

    def variables(self) -> dict[str, str]:
        """What {"Get": "Execution.…"} may name in every step; the executor adds the name of a step's own job."""
        return {
            "CurrentDateTime": _iso(time.time()),
            "PipelineArn": names.arn("pipeline", self.pipeline),
            "PipelineExecutionArn": self.arn,
            "PipelineExecutionId": self.id,
            "PipelineName": self.pipeline,
            "StartDateTime": _iso(self.created),
        }

    def stop_requested(self, store: Store) -> bool:
        return self.stopping or bool(store.query("SELECT stop_requested FROM executions WHERE id=?", self.id)[0][0])

    def beat(self, store: Store) -> None:
        store.execute("UPDATE executions SET heartbeat=? WHERE id=?", time.time(), self.id)

    def claim(self, store: Store, runner: dict[str, Any]) -> bool:
        """Makes this process the execution's runner; False when another one was faster."""
        self.runner = runner
        sql = "UPDATE executions SET runner=?, heartbeat=? WHERE id=? AND runner='{}' AND status IN (?,?)"
        return store.execute(sql, json.dumps(runner), time.time(), self.id, *RUNNING) == 1

    def work_folder(self, home: str) -> str:
        """Where its runner has the jobs' private folders; a runner that resumes it has another one."""
        return os.path.join(home, "work", f"{self.id}-{self.runner['pid']}-{self.runner['started']}")

    def remove_work(self, home: str) -> None:
        import shutil

        shutil.rmtree(self.work_folder(home), ignore_errors=True)

    def end(self, store: Store, status: str, failure: str = "") -> None:
        now = time.time()
        store.execute(
            "UPDATE executions SET status=?, failure=?, ended=?, modified=?, runner='{}' WHERE id=?",
            *(status, failure, now, now, self.id),
        )

    def save_body(self, store: Store, **changes: Any) -> None:
        self.body.update(changes)
        store.execute("UPDATE executions SET body=? WHERE id=?", json.dumps(self.body), self.id)


class StepRow:
    """One row of `steps`. `body` holds Metadata, Properties, CacheHit, CacheMiss, LogPath."""

    __slots__ = (
        "attempt",
        "body",
        "cache_key",
        "ended",
        "execution",
        "failure",
        "name",
        "pipeline",
        "position",
        "previous_job",
        "started",
        "status",
        "type",
    )

    def __init__(self, execution: str, pipeline: str, name: str, step_type: str, position: int) -> None:
        self.execution = execution
        self.pipeline = pipeline
        self.name = name
        self.type = step_type
        self.position = position
        self.status = "Executing"
        self.attempt = 1
        self.started: float | None = time.time()
        self.ended: float | None = None
        self.failure = ""
        self.cache_key = ""
        self.body: dict[str, Any] = {}
        self.previous_job = ""

    @classmethod
    def new(cls, execution: Execution, name: str, step_type: str, position: int) -> StepRow:
        return cls(execution.id, execution.pipeline, name, step_type, position)

    @classmethod
    def of_execution(cls, store: Store, execution_id: str) -> dict[str, StepRow]:
        """By name, in the order in which they started."""
        rows = store.query("SELECT * FROM steps WHERE execution=? ORDER BY position", execution_id)
        return {row["name"]: cls._from(row) for row in rows}

    @classmethod
    def page(cls, store: Store, execution_id: str, order: str, limit: int, offset: int) -> list[StepRow]:
        """Some of them, in this order of their starts: only these bodies are read."""
        names = f"SELECT name FROM steps WHERE execution=? ORDER BY position {order} LIMIT ? OFFSET ?"
        sql = f"SELECT * FROM steps WHERE execution=? AND name IN ({names}) ORDER BY position {order}"
        return [cls._from(row) for row in store.query(sql, execution_id, execution_id, limit, offset)]

    @classmethod
    def _from(cls, row: sqlite3.Row) -> StepRow:
        step = cls(row["execution"], row["pipeline"], row["name"], row["type"], row["position"])
        step.status = row["status"]
        step.attempt = row["attempt"]
        step.started = row["started"]
        step.ended = row["ended"]
        step.failure = row["failure"]
        step.cache_key = row["cache_key"]
        step.body = json.loads(row["body"])
        return step

    def start_again(self) -> None:
        """A resume: the job that the last attempt left behind is kept for drivers that can go on with it."""
        metadata = self.body.get("Metadata") or {}
        arns = [value["Arn"] for value in metadata.values() if isinstance(value, dict) and "Arn" in value]
        self.previous_job = arns[0].rpartition("/")[2] if arns else ""
        self.status = "Executing"
        self.attempt += 1
        self.started = time.time()
        self.ended = None
        self.failure = ""
        self.body = {"Metadata": metadata}

    def hit(self, store: Store, oldest: float) -> StepRow | None:
        """The newest real success of this step in this pipeline with this cache key, not older than `oldest`."""
        rows = store.query(
            f"SELECT * FROM steps WHERE {_SUCCESS} AND cache_digest=? AND ended>=? ORDER BY ended DESC LIMIT 1",
            *(self.pipeline, self.name, _digest(self.cache_key), oldest),
        )
        return StepRow._from(rows[0]) if rows else None

    def last_success(self, store: Store) -> StepRow | None:
        """The newest real success of this step in this pipeline, whatever its cache key."""
        rows = store.query(
            f"SELECT * FROM steps WHERE {_SUCCESS} ORDER BY ended DESC LIMIT 1", self.pipeline, self.name
        )
        return StepRow._from(rows[0]) if rows else None

    def save(self, store: Store) -> None:
        store.execute(
            "INSERT OR REPLACE INTO steps VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            *(self.execution, self.name, self.type, self.status, self.position, self.attempt, self.started, self.ended),
            *(self.failure, self.pipeline, self.cache_key, _digest(self.cache_key), json.dumps(self.body)),
        )


def _digest(cache_key: str) -> str:
    return sha256_hex(cache_key.encode()) if cache_key else ""


def _iso(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"
