"""What the processes of a training tell each other when one of them ends: who, and why."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import torch.distributed as dist
from refusal import Refusal, exit_code

EVERY_S = 1.0  # between two looks: one short message to the first host
PATIENCE_S = 5.0  # for the others to answer, or for the launcher of a lost process to say how it ended
PREFIX, ENDED, CALLED = "darkroom", "ended", "called"
JOIN = timedelta(seconds=60)


def opened(env: Mapping[str, str]) -> dist.Store:
    """The key-value store at torchrun's address, by a connection of its own: others wait in theirs."""
    store = dist.TCPStore(env["MASTER_ADDR"], int(env["MASTER_PORT"]), None, False, JOIN, wait_for_workers=False)
    return dist.PrefixStore(PREFIX, store)


def tell(store: dist.Store, sentence: str) -> None:
    """The first one counts: what it brings down with it has nothing to add."""
    store.compare_set(ENDED, "", sentence)


class Watch:
    """A thread beside the training. A collective operation of NCCL waits for ever for a process that is gone."""

    def __init__(self, env: Mapping[str, str], hosts: list[str], note: Path | None) -> None:
        """`hosts`: the name of each rank's; `note`: SageMaker's failure file."""
        self.rank, self.hosts, self.note = int(env["RANK"]), hosts, note
        self.store = opened(env)
        self.parent = os.getppid()
        self.over = threading.Event()
        self.is_leaving = False
        self.told = False  # by this very rank
        threading.Thread(target=self._look, name="watch", daemon=True).start()

    def tell(self, reason: str) -> None:
        """Why this rank ends, for all others."""
        self.told = True
        try:
            tell(self.store, f"host {self.hosts[self.rank]} ended the training: {reason}")
        except RuntimeError:
            return  # nobody is left to be told

    def why(self, seen: str) -> str:
        """After a connection broke: what the other end, or whoever knows, has said; else who does not answer."""
        self.told = True
        try:
            self.store.set(CALLED, "")
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline:
                if self.store.check([ENDED]):
                    return self.store.get(ENDED).decode()
                time.sleep(EVERY_S / 5)
            others = [rank for rank in range(len(self.hosts)) if rank != self.rank]
            silent = sorted({self.hosts[rank] for rank in others if not self.store.check([str(rank)])})
            reason = f"{_lost(silent)} ({seen})" if silent else f"a connection between the hosts broke ({seen})"
            tell(self.store, reason)
            return reason
        except RuntimeError:
            return f"{_lost(self.hosts[:1])} ({seen})"

    def leaving(self) -> None:
        """From now on the store may go: its host may be done."""
        self.is_leaving = True

    def end(self) -> None:
        self.over.set()

    def _look(self) -> None:
        while not self.over.wait(EVERY_S):
            if os.getppid() != self.parent:
                os._exit(1)  # torchrun starts each process in a session of its own: nobody else would end it
            try:
                if self.store.check([CALLED]):
                    self.store.set(str(self.rank), "")
                if self.store.check([ENDED]) and not self.told:
                    _end(self.store.get(ENDED).decode(), self.note)
            except RuntimeError:
                if self.is_leaving or self.told or self.over.is_set():
                    return
                _end(_lost(self.hosts[:1]), self.note)


def _lost(hosts: list[str]) -> str:
    return f"host{'s' * (len(hosts) > 1)} {' and '.join(hosts)} {'were' if len(hosts) > 1 else 'was'} lost"


def _end(sentence: str, note: Path | None) -> NoReturn:
    def refuse() -> None:
        raise Refusal(sentence)

    os._exit(exit_code(refuse, note))
