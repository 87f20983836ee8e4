"""Training jobs of one home share a folder for features, wherever their /opt/ml is; on AWS there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from local_jobs import BOTH, put_archive, run_job
from test_jobs_training import request

PROGRAM = """
import os
import arrays, torch
from pathlib import Path
folder = Path(os.environ["DARKROOM_FEATURE_CACHE"])
def rows():
    print("computed")
    yield torch.ones(2, 3)
name = "0" * 64 + ".array"
print(arrays.kept(folder / name, (2, 3), lambda _: True, rows, 1 << 20).sum().item(), folder)
"""


@pytest.mark.parametrize("kind", BOTH)
def test_a_later_job_finds_what_an_earlier_one_kept(tmp_path: Path, kind: str) -> None:
    body = request(tmp_path, PROGRAM)
    arrays = Path(__file__).parent.parent / "entrypoints/training/arrays.py"
    put_archive(tmp_path, "s3://b/code/sourcedir.tar.gz", {"train.py": PROGRAM, "arrays.py": arrays.read_text()})
    first = run_job(tmp_path, "Training", body, isolation=kind)
    again = run_job(tmp_path, "Training", body, isolation=kind, job_name="job-2")
    found = f"6.0 {tmp_path / 'features'}"
    assert again.log.splitlines() == ["computed", found, found]  # both append to one log
    assert str(tmp_path / "features") in first.parity["DARKROOM_FEATURE_CACHE"]
    assert (tmp_path / "features").stat().st_mode & 0o077 == 0


def test_a_request_may_switch_it_off(tmp_path: Path) -> None:
    program = "import os\nprint(repr(os.environ['DARKROOM_FEATURE_CACHE']))"
    body = request(tmp_path, program, Environment={"DARKROOM_FEATURE_CACHE": ""})
    assert run_job(tmp_path, "Training", body).log == "''\n"
    assert not (tmp_path / "features").exists()
