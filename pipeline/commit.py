"""The git commit that a folder stands at: where what is deployed came from."""

from __future__ import annotations

import os
import re
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

CHANGED = "+changes"  # to a commit whose files were edited since
DESCRIPTION = "PipelineExecutionDescription"
_WORDS = "git commit "
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def of(folder: str) -> str:
    """40 or 64 hex digits, with CHANGED where tracked files differ; empty outside of git, or without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not _COMMIT.fullmatch(commit):
        return ""
    return commit + (CHANGED if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def described(commit: str) -> dict[str, str]:
    """Members of StartPipelineExecution that keep the commit; empty for none."""
    return {DESCRIPTION: f"{_WORDS}{commit}"} if commit else {}


def told_by(execution: Mapping[str, Any]) -> str:
    """What `described` kept, out of DescribePipelineExecution; empty for other people's executions."""
    found = re.fullmatch(
        _WORDS + rf"((?:{_COMMIT.pattern})(?:{re.escape(CHANGED)})?)", str(execution.get(DESCRIPTION, ""))
    )
    return found[1] if found else ""


def _git(folder: str, *arguments: str) -> str:
    # nothing is written into the repository, not even git's index
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", folder or ".", *arguments]
    try:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
