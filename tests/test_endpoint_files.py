"""Locks of endpoints, transforms and the process of events: who has one, and who only looks."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from pipeline.local import endpoint_host, event_host, transform_host
from pipeline.local.endpoint_files import Files, is_supervised, take


def opened(files: Files) -> int:
    os.makedirs(files.folder, exist_ok=True)
    return os.open(files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def test_who_only_looks_keeps_nobody_from_a_lock(tmp_path: Path) -> None:
    files = Files(str(tmp_path), "e")
    mine, looking = opened(files), opened(files)
    fcntl.flock(looking, fcntl.LOCK_SH)
    assert not take(mine, limit_s=0)
    threading.Timer(0.1, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
    assert take(mine, limit_s=60)
    assert is_supervised(files)


def test_who_has_a_lock_is_not_waited_for(tmp_path: Path) -> None:
    files = Files(str(tmp_path), "e")
    mine, others = opened(files), opened(files)
    fcntl.flock(others, fcntl.LOCK_EX)
    assert not take(mine, limit_s=1e9)


def test_all_three_hosts_take_their_locks_that_way() -> None:
    assert endpoint_host.take is event_host.take is transform_host.take is take
