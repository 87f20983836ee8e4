"""A runner that kills itself before the n-th write to the store: `python dying_runner.py HOME EXECUTION N`."""

import os
import signal
import sys

from pipeline.local import runner
from pipeline.local.store import Store


class DyingStore(Store):
    left = int(sys.argv[3])

    def execute(self, sql, *values):
        DyingStore.left -= 1
        if DyingStore.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(sql, *values)


if __name__ == "__main__":
    runner.run(sys.argv[1], sys.argv[2], DyingStore)
