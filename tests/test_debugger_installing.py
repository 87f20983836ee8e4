"""smdebug installed beside a protobuf that it cannot use: each of the two has its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import train

SMDEBUG = {
    "smdebug/__init__.py": "__version__ = '1.0.34'",
    "smdebug/pytorch.py": "from google.protobuf import VERSION; from pyinstrument import Profiler\n"
    "from pyinstrument.renderers import JSONRenderer",
    "smdebug/core/__init__.py": "",
    "smdebug/core/json_config.py": "",
    "smdebug/core/config_validator.py": "from distutils.util import strtobool",
    "google/protobuf/__init__.py": "VERSION = 'old'",
}
ASKED = """
import json, sys
sys.path[:0] = {paths!r}
{before}
from pathlib import Path
from health.debugger import installing
why = installing._import(Path({folder!r}))
import google.protobuf as now
smdebug = sys.modules.get("smdebug.pytorch")
print(json.dumps([why, now.VERSION, smdebug and smdebug.VERSION, sys.path[-1], "pyinstrument" in sys.modules]))
"""


def asked(root: Path, before: str = "", **changes: str) -> list[Any]:
    """In a process without any installed package."""
    files = {f"old/{name}": text for name, text in (SMDEBUG | changes).items()}
    for name, text in {**files, "new/google/protobuf/__init__.py": "VERSION = 'new'"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    paths = [str(root / "new"), str(Path(train.__file__).parent)]
    code = ASKED.format(paths=paths, before=before, folder=str(root / "old"))
    ran = subprocess.run([sys.executable, "-S", "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    found: list[Any] = json.loads(ran.stdout)
    return found


def test_whoever_asks_for_protobuf_later_has_the_images_own(tmp_path: Path) -> None:
    assert asked(tmp_path) == ["", "new", "old", str(tmp_path / "old"), False]


def test_whoever_has_protobuf_already_keeps_it(tmp_path: Path) -> None:
    before = "import google.protobuf as first"
    assert asked(tmp_path, before) == ["", "new", "old", str(tmp_path / "old"), False]


def test_what_a_broken_package_raises_is_said_and_nothing_of_it_stays(tmp_path: Path) -> None:
    broken = {"smdebug/core/json_config.py": "raise TypeError('Descriptors cannot be created directly.\\nSee')"}
    why, protobuf, smdebug, *_ = asked(tmp_path, **broken)
    assert why == "smdebug cannot be imported (TypeError: Descriptors cannot be created directly.)"
    assert (protobuf, smdebug) == ("new", None)
