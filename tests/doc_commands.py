"""Commands in fenced blocks of a document, and the AWS CLI in this process: a start of its own takes a second each."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import NamedTuple

from awscli.clidriver import create_clidriver

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"(?:\s+#\s|\s{3,}).*$")  # behind a command: `# …`, or words in a column of their own


class Command(NamedTuple):
    """`text` in one line; `block`: the number of its block."""

    document: str
    block: int
    text: str


def commands(path: Path) -> list[Command]:
    """Every command of every block, in the document's order; a pipe is one command."""
    found = []
    for number, (_, block) in enumerate(FENCE.findall(path.read_text(encoding="utf-8"))):
        for line in _logical(block):
            found.append(Command(path.name, number, line))
    return found


def _logical(block: str) -> list[str]:
    """Lines, with those that go on below joined: after a backslash, after |, within quotes."""
    lines: list[str] = []
    held = ""
    for line in block.splitlines():
        text = held + line.strip() if held and not _open(held) else held + line
        if text.endswith("\\"):
            held = text[:-1]
        elif _open(text) or text.endswith("|"):
            held = text + ("\n" if _open(text) else " ")
        else:
            lines.append(COMMENT.sub("", text).strip())
            held = ""
    return [line for line in lines if line]


def _open(text: str) -> bool:
    return text.count("'") % 2 == 1


def aws(words: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of `aws words…`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = create_clidriver().main(words)
    return int(code), out.getvalue(), err.getvalue()
