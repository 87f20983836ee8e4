"""Pickles of dicts, lists, words, whole numbers and byte arrays, read without Python's unpickler: nothing is called.

Python's own with a strict `find_class` would still give a stranger's state to NumPy, and a memo index of 2**30 in a
file of ten bytes makes it allocate gigabytes. This one knows the opcodes that CIFAR's files and Python 3's own writer
hold for such values, and takes arrays as views of the content, without a copy.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

from preparation import admitted
from preparation.admitted import Foreign

MAX_STEPS = 5_000_000  # CIFAR-100's train file takes 150,000; each step makes at most one object of some 60 bytes
SMALL_NUMBERS = re.compile(rb"(?:K.)+", re.DOTALL)  # a list of labels in one go
VIEW = 4096  # longer byte strings are views
FORMS = {name: struct.Struct(name) for name in ("<H", "<i", "<I", "<Q")}
MARK = object()


def loads(content: bytes) -> Any:
    """Dicts (their keys as str), lists, tuples, str, bytes, int, bool, None, and uint8 arrays; raises Foreign."""
    machine = _Machine(content)
    try:
        return admitted.finished(machine.run())
    except Foreign:
        raise
    except (IndexError, struct.error):
        raise Foreign("cut short or damaged") from None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Foreign(f"damaged ({error})") from None


class _Machine:
    """The stack machine of pickletools' documentation, with half of its opcodes."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.place = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MAX_STEPS):
            code = self.content[self.place]
            self.place += 1
            if code == STOP:
                return self.stack.pop()
            step = STEPS.get(code)
            if step is None:
                raise Foreign(f"opcode {chr(code)!a} at byte {self.place - 1:,}, which no such file holds")
            step(self)
        raise Foreign(f"more than {MAX_STEPS:,} steps, which no such file takes")

    def number(self, form: str) -> int:
        layout = FORMS[form]
        (value,) = layout.unpack_from(self.content, self.place)
        self.place += layout.size
        return int(value)

    def take(self, length: int) -> bytes:
        self.skip(length)
        return self.content[self.place - length : self.place]

    def view(self, length: int) -> bytes | memoryview:
        if length < VIEW:
            return self.take(length)
        self.skip(length)
        return memoryview(self.content)[self.place - length : self.place]

    def line(self) -> str:
        end = self.content.index(b"\n", self.place)
        word = self.content[self.place : end].decode("ascii")
        self.place = end + 1
        return word

    def marked(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not MARK:
            place -= 1
            if place < 0:
                raise Foreign("damaged (a list without a beginning)")
        found = self.stack[place + 1 :]
        del self.stack[place:]
        return found

    def skip(self, length: int) -> None:
        if not 0 <= length <= len(self.content) - self.place:
            raise Foreign("cut short or damaged")
        self.place += length


def _small_numbers(machine: _Machine) -> None:
    found = SMALL_NUMBERS.match(machine.content, machine.place - 1)
    if found is None:
        raise Foreign("cut short or damaged")
    machine.stack.extend(machine.content[machine.place : found.end() : 2])
    machine.place = found.end()


def _append(machine: _Machine) -> None:
    value = machine.stack.pop()
    _top(machine, list).append(value)


def _appends(machine: _Machine) -> None:
    values = machine.marked()
    _top(machine, list).extend(values)


def _set_item(machine: _Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _top(machine, dict)[admitted.key(key)] = value


def _set_items(machine: _Machine) -> None:
    values = machine.marked()
    _top(machine, dict).update(zip(map(admitted.key, values[::2]), values[1::2], strict=True))


def _tuple(length: int) -> Callable[[_Machine], None]:
    def step(machine: _Machine) -> None:
        if len(machine.stack) < length:
            raise Foreign("damaged (a tuple without its parts)")
        machine.stack[len(machine.stack) - length :] = [tuple(machine.stack[len(machine.stack) - length :])]

    return step


def _stack_global(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(admitted.named(module, name))


def _reduce(machine: _Machine) -> None:
    values, name = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(admitted.called(name, values))


def _build(machine: _Machine) -> None:
    state = machine.stack.pop()
    admitted.completed(machine.stack[-1], state)


def _top(machine: _Machine, kind: type) -> Any:
    top = machine.stack[-1]
    if type(top) is not kind:
        raise Foreign(f"damaged (no {kind.__name__} where one belongs)")
    return top


def _push(read: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    return lambda machine: machine.stack.append(read(machine))


STOP = ord(".")
STEPS: dict[int, Callable[[_Machine], None]] = {
    ord("K"): _small_numbers,
    ord("q"): lambda machine: machine.memo.__setitem__(machine.take(1)[0], machine.stack[-1]),
    ord("r"): lambda machine: machine.memo.__setitem__(machine.number("<I"), machine.stack[-1]),
    0x94: lambda machine: machine.memo.__setitem__(len(machine.memo), machine.stack[-1]),
    ord("h"): _push(lambda machine: machine.memo[machine.take(1)[0]]),
    ord("j"): _push(lambda machine: machine.memo[machine.number("<I")]),
    ord("U"): _push(lambda machine: machine.take(machine.take(1)[0])),
    ord("C"): _push(lambda machine: machine.take(machine.take(1)[0])),
    ord("T"): _push(lambda machine: machine.view(machine.number("<i"))),
    ord("B"): _push(lambda machine: machine.view(machine.number("<I"))),
    0x8E: _push(lambda machine: machine.view(machine.number("<Q"))),
    0x96: _push(lambda machine: machine.view(machine.number("<Q"))),
    ord("X"): _push(lambda machine: machine.take(machine.number("<I")).decode()),
    0x8C: _push(lambda machine: machine.take(machine.take(1)[0]).decode()),
    ord("M"): _push(lambda machine: machine.number("<H")),
    ord("J"): _push(lambda machine: machine.number("<i")),
    0x8A: _push(lambda machine: int.from_bytes(machine.take(machine.take(1)[0]), "little", signed=True)),
    ord("N"): _push(lambda machine: None),
    0x88: _push(lambda machine: True),
    0x89: _push(lambda machine: False),
    ord("}"): _push(lambda machine: {}),
    ord("]"): _push(lambda machine: []),
    ord(")"): _push(lambda machine: ()),
    ord("("): _push(lambda machine: MARK),
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    ord("t"): _push(lambda machine: tuple(machine.marked())),
    ord("a"): _append,
    ord("e"): _appends,
    ord("s"): _set_item,
    ord("u"): _set_items,
    ord("c"): _push(lambda machine: admitted.named(machine.line(), machine.line())),
    0x93: _stack_global,
    ord("R"): _reduce,
    ord("b"): _build,
    0x80: lambda machine: machine.skip(1),  # the protocol
    0x95: lambda machine: machine.skip(8),  # the length of a frame
}
