"""What every test begins with: an environment that says nothing of this machine."""

from __future__ import annotations

import os

# One thread a process: the tests of a whole pipeline run several at once on few cores.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
for name in [name for name in os.environ if name.startswith(("DARKROOM_", "AWS_", "SAGEMAKER_", "SM_"))]:
    del os.environ[name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
