"""Tables of ranks on other hosts, whose folders the first rank cannot see: what they have written comes to its own."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

from training.distributed import World

from health.recording import records

TABLES = ("steps", "tensors", "classes")


class Piece(NamedTuple):
    """Bytes of a file from `begin` on."""

    name: str
    begin: int
    content: bytes


class Sharing:
    """Nothing goes anywhere where all ranks are on one host."""

    def __init__(self, folder: Path, world: World, host: str) -> None:
        """All ranks call it, before they write: what an earlier life of the job left of others is not theirs."""
        self.folder, self.world = folder, world
        hosts = world.gathered([host])
        self.others = [rank for rank in range(world.size) if hosts[rank] != hosts[0]]
        self.sent = {records.path(folder, table, world.rank): 0 for table in TABLES}
        for rank in self.others if world.first else ():
            for table in TABLES:
                records.path(folder, table, rank).unlink(missing_ok=True)

    def share(self) -> None:
        """All ranks call it: the first one's folder then has all that they have flushed."""
        if not self.others:
            return
        pieces = self.world.gathered(self._new() if self.world.rank in self.others else [])
        for piece in pieces if self.world.first else ():
            with (self.folder / piece.name).open("ab" if piece.begin else "wb") as file:
                file.write(piece.content)

    def _new(self) -> list[Piece]:
        pieces = []
        for path, begin in self.sent.items():
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                file.seek(begin)
                pieces.append(Piece(path.name, begin, file.read()))
                self.sent[path] += len(pieces[-1].content)
        return pieces
