"""What the job runs on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ENTRYPOINTS = Path(__file__).parent.parent / "entrypoints"
FAULTS = """
import resource, sys, torch
sys.path.insert(0, sys.argv[1])
from training import machine
if sys.argv[2] == "kept":
    machine.keep_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):  # until the heap has found its form
    torch.ones(12_000_000), torch.ones(300_000)
before = faults()
for _ in range(5):
    torch.ones(12_000_000), torch.ones(300_000)
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory")
def test_memory_of_a_step_is_still_there_in_the_next() -> None:
    command = [sys.executable, "-c", FAULTS, str(ENTRYPOINTS)]
    given, kept = (
        int(subprocess.run([*command, way], capture_output=True, text=True, check=True).stdout)
        for way in ("given back", "kept")
    )
    assert kept < given / 10
