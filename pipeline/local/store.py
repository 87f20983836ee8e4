"""What exists on this machine: pipelines, executions, steps, jobs, packages, endpoints, in one SQLite file.

Every process opens its own Store (a connection must not cross a fork). Writers take the write lock at once (BEGIN
IMMEDIATE) and wait for each other; status changes are conditional, so that two processes cannot both believe that they
made the same change. Times are seconds since 1970 (float); the service turns them into datetime, as boto3 does.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from contextlib import contextmanager

from pipeline.errors import DarkroomError, ServiceError, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

SCHEMA_VERSION = 2
BUSY_TIMEOUT_S = 30.0
_SCHEMA = """
CREATE TABLE records (
    kind TEXT NOT NULL, name TEXT NOT NULL, arn TEXT NOT NULL, status TEXT NOT NULL,
    created REAL NOT NULL, modified REAL NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE INDEX records_arn ON records (arn);
CREATE TABLE executions (
    id TEXT PRIMARY KEY, arn TEXT NOT NULL UNIQUE, pipeline TEXT NOT NULL, version INTEGER NOT NULL,
    status TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL, ended REAL, failure TEXT NOT NULL DEFAULT '',
    stop_requested INTEGER NOT NULL DEFAULT 0, runner TEXT NOT NULL DEFAULT '{}', heartbeat REAL NOT NULL DEFAULT 0,
    body TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX executions_pipeline ON executions (pipeline, created);
CREATE TABLE steps (
    execution TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, status TEXT NOT NULL, position INTEGER NOT NULL,
    attempt INTEGER NOT NULL, started REAL, ended REAL, failure TEXT NOT NULL DEFAULT '', pipeline TEXT NOT NULL,
    cache_key TEXT NOT NULL DEFAULT '', cache_digest TEXT NOT NULL DEFAULT '', body TEXT NOT NULL,
    PRIMARY KEY (execution, name)) WITHOUT ROWID;
CREATE INDEX steps_key ON steps (pipeline, name, cache_digest, ended) WHERE status='Succeeded' AND cache_digest!='';
CREATE INDEX steps_last ON steps (pipeline, name, ended) WHERE status='Succeeded' AND cache_digest!='';
"""


# SQLite must not be carried across a fork, not even beside a new connection: whoever forks looks here first
_open_connections: set[int] = set()


def connections() -> int:
    """How many this process has, to whichever stores."""
    return len(_open_connections)


class Store:
    """One connection to `<home>/store.sqlite3`; use it on the thread and in the process that made it."""

    def __init__(self, home: str) -> None:
        """Creates `home` and the schema where missing. Raises StorageError, and DarkroomError for another schema."""
        self.home = home
        self.path = os.path.join(home, "store.sqlite3")
        self._connection: sqlite3.Connection | None = None
        self._listed: tuple[Any, list[sqlite3.Row]] = (None, [])
        self._connect()

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        with _storage_errors(self.path):
            os.makedirs(self.home, exist_ok=True)
            db = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._connection = db
            _open_connections.add(id(self))
            db.row_factory = sqlite3.Row
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._create(db)
            elif version != SCHEMA_VERSION:
                self.close()
                raise DarkroomError(
                    f"{self.path} has schema {version}; this darkroom reads schema {SCHEMA_VERSION}",
                    "use the darkroom that wrote it, or set DARKROOM_HOME to another folder",
                )
            # NORMAL: a power cut may lose the last transactions but never corrupts; a kill loses nothing
            db.execute("PRAGMA synchronous=NORMAL")
        return db

    def _create(self, db: sqlite3.Connection) -> None:
        """One after the other: where two turn a file to WAL, SQLite refuses one at once, whatever its timeout."""
        with _alone(self.home):
            db.execute("PRAGMA journal_mode=WAL")
            with self.transaction():
                if db.execute("PRAGMA user_version").fetchone()[0] == 0:  # nobody was faster
                    for statement in filter(str.strip, _SCHEMA.split(";")):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def close(self) -> None:
        """The next use opens it again. Before a fork nothing may be open: SQLite's locks do not survive it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._listed = (None, [])
            _open_connections.discard(id(self))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, under the write lock; may be nested."""
        db = self._connect()
        if db.in_transaction:
            yield
            return
        with _storage_errors(self.path):
            db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def query(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with _storage_errors(self.path):
            return self._connect().execute(sql, values).fetchall()

    def execute(self, sql: str, *values: Any) -> int:
        """Runs one writing statement; returns how many rows it touched."""
        with _storage_errors(self.path):
            return self._connect().execute(sql, values).rowcount

    # Records: everything that is described by one JSON body. `kind` is SageMaker's word in kebab case: training-job,
    # processing-job, hyper-parameter-tuning-job, transform-job, model, model-package, model-package-group, endpoint,
    # endpoint-config, function, image, pipeline, pipeline-version, …

    def add(self, kind: str, name: str, body: dict[str, Any], status: str = "", arn: str = "") -> None:
        """Raises ServiceError ResourceInUse when the name is taken."""
        now = time.time()
        try:
            self.execute(
                "INSERT INTO records VALUES (?,?,?,?,?,?,?)", kind, name, arn, status, now, now, json.dumps(body)
            )
        except sqlite3.IntegrityError as exc:
            raise ServiceError("ResourceInUse", f"{kind} {name!r} already exists") from exc

    def put(self, kind: str, name: str, body: dict[str, Any], status: str = "", arn: str = "") -> None:
        """Adds or replaces."""
        now = time.time()
        self.execute(
            "INSERT INTO records VALUES (?,?,?,?,?,?,?) ON CONFLICT (kind, name) DO UPDATE SET"
            " arn=excluded.arn, status=excluded.status, modified=excluded.modified, body=excluded.body",
            *(kind, name, arn, status, now, now, json.dumps(body)),
        )

    def get(self, kind: str, name: str) -> Record:
        """Raises ServiceError ResourceNotFound."""
        rows = self.query("SELECT * FROM records WHERE kind=? AND name=?", kind, name)
        if not rows:
            raise ServiceError("ResourceNotFound", f"there is no {kind} {name!r}")
        return Record(rows[0])

    def find(self, kind: str, name: str) -> list[Record]:
        """The record in a list of one, or an empty list."""
        return [Record(row) for row in self.query("SELECT * FROM records WHERE kind=? AND name=?", kind, name)]

    def by_arn(self, arn: str) -> Record:
        """Raises ServiceError ResourceNotFound."""
        rows = self.query("SELECT * FROM records WHERE arn=?", arn)
        if not rows:
            raise ServiceError("ResourceNotFound", f"there is nothing with the ARN {arn!r}")
        return Record(rows[0])

    def list_where(self, kind: str, member: str, value: str, members: tuple[str, ...]) -> list[Record]:
        """Those whose body has this value as a member, newest first; of the bodies these members alone, two or more.

        SQLite takes them out of 500 bodies in a quarter of the time that reading those would take; and while nothing
        is written nothing is read again: whoever lists 500 trials asks for five pages, one after the other.
        """
        asked = (kind, member, value, members, *self.query("PRAGMA data_version")[0], self._connect().total_changes)
        if self._listed[0] != asked:
            rows = self.query(
                f"SELECT kind, name, arn, status, created, modified, json_extract(body{', ?' * len(members)}) AS body"
                " FROM records WHERE kind=? AND json_extract(body, ?)=? ORDER BY created DESC, name DESC",
                *(*(f"$.{each}" for each in members), kind, f"$.{member}", value),
            )
            self._listed = (asked, rows)
        return [Record(row, members) for row in self._listed[1]]

    def list(self, kind: str, prefix: str = "") -> list[Record]:
        """Newest first."""
        rows = self.query(
            "SELECT * FROM records WHERE kind=? AND substr(name, 1, ?)=? ORDER BY created DESC, name DESC",
            *(kind, len(prefix), prefix),
        )
        return [Record(row) for row in rows]

    def change(
        self,
        kind: str,
        name: str,
        changes: dict[str, Any],
        status: str | None = None,
        expect: Iterable[str] | None = None,
    ) -> Record:
        """Merges `changes` into the body (top level) and sets the status, if the status now is one of `expect`.

        Raises ServiceError ResourceNotFound, or ConflictException when the status is another one.
        """
        with self.transaction():
            record = self.get(kind, name)
            if expect is not None and record.status not in tuple(expect):
                raise ServiceError("ConflictException", f"{kind} {name!r} is {record.status}")
            body = {**record.body, **changes}
            self.execute(
                "UPDATE records SET body=?, status=?, modified=? WHERE kind=? AND name=?",
                *(json.dumps(body), record.status if status is None else status, time.time(), kind, name),
            )
            return self.get(kind, name)

    def remove(self, kind: str, name: str) -> None:
        """Raises ServiceError ResourceNotFound."""
        if not self.execute("DELETE FROM records WHERE kind=? AND name=?", kind, name):
            raise ServiceError("ResourceNotFound", f"there is no {kind} {name!r}")


class Record:
    """One row of `records`; `body` is a fresh dict that the caller may change, read from its text when it is asked for:
    listings go by what stands beside it. `members`: what the text is a list of, where it is not all of the body.
    """

    __slots__ = ("_body", "_members", "_text", "arn", "created", "kind", "modified", "name", "status")

    def __init__(self, row: sqlite3.Row, members: tuple[str, ...] = ()) -> None:
        self.kind: str = row["kind"]
        self.name: str = row["name"]
        self.arn: str = row["arn"]
        self.status: str = row["status"]
        self.created: float = row["created"]
        self.modified: float = row["modified"]
        self._text: str = row["body"]
        self._members = members
        self._body: dict[str, Any] | None = None

    @property
    def body(self) -> dict[str, Any]:
        if self._body is None:
            read = json.loads(self._text)
            self._body = _named(self._members, read) if self._members else read
        return self._body


def _named(members: tuple[str, ...], values: list[Any]) -> dict[str, Any]:
    """Without those that are not there."""
    return {member: value for member, value in zip(members, values, strict=True) if value is not None}


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    """One thread of one process on this machine at a time; the others wait. A killed one lets go."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _storage_errors(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except (sqlite3.Error, OSError) as exc:
        raise StorageError(
            f"cannot use {path}: {exc}", "free some disk space or make the folder writable; DARKROOM_HOME moves it"
        ) from exc
