"""Pickles of dicts, lists, words, whole numbers and byte arrays, read without Python's unpickler: nothing is called.

Python's own unpickler with a strict `find_class` would still build NumPy objects from a stranger's state, and a memo
index of 2**30 in a file of ten bytes makes it allocate gigabytes. This one knows the opcodes that CIFAR's files and
Python 3's own writer hold for such values, and takes the arrays as views of the file's content, without a copy.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_STEPS = 5_000_000  # CIFAR-100's train file takes 150,000; each step makes at most one object of some 60 bytes
SMALL_NUMBERS = re.compile(rb"(?:K.)+", re.DOTALL)  # a list of labels in one go
VIEW = 4096  # longer byte strings are views
BYTES = ("u1", "|u1", "uint8")
FORMS = {name: struct.Struct(name) for name in ("<H", "<i", "<I", "<Q")}
MARK = object()


class Foreign(ValueError):
    """What the pickle holds that it should not, in a few words."""


class Name(NamedTuple):
    """A function or class that the pickle names; it stays a name."""

    module: str
    name: str


class Array:
    """Stands for numpy.ndarray until its state is known."""

    value: NDArray[np.uint8] | None = None


class Dtype:
    """Stands for numpy.dtype('u1'), the only one admitted."""


def loads(content: bytes) -> Any:
    """Dicts (their keys as str), lists, tuples, str, bytes, int, bool, None, and uint8 arrays; raises Foreign."""
    machine = _Machine(content)
    try:
        return _value(machine.run())
    except Foreign:
        raise
    except (IndexError, struct.error):
        raise Foreign("cut short or damaged") from None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Foreign(f"damaged ({error})") from None


class _Machine:
    """The stack machine of pickletools' documentation, with a twentieth of its opcodes."""

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


def _long(machine: _Machine) -> None:
    length = machine.take(1)[0]
    machine.stack.append(int.from_bytes(machine.take(length), "little", signed=True))


def _append(machine: _Machine) -> None:
    value = machine.stack.pop()
    _top(machine, list).append(value)


def _appends(machine: _Machine) -> None:
    values = machine.marked()
    _top(machine, list).extend(values)


def _set_item(machine: _Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _top(machine, dict)[_key(key)] = value


def _set_items(machine: _Machine) -> None:
    values = machine.marked()
    _top(machine, dict).update(zip(map(_key, values[::2]), values[1::2], strict=True))


def _tuple(length: int) -> Callable[[_Machine], None]:
    def step(machine: _Machine) -> None:
        if len(machine.stack) < length:
            raise Foreign("damaged (a tuple without its parts)")
        machine.stack[len(machine.stack) - length :] = [tuple(machine.stack[len(machine.stack) - length :])]

    return step


def _global(machine: _Machine) -> None:
    machine.stack.append(_known(Name(machine.line(), machine.line())))


def _stack_global(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(_known(Name(module, name)))


def _reduce(machine: _Machine) -> None:
    values, name = machine.stack.pop(), machine.stack.pop()
    if not isinstance(values, tuple) or not isinstance(name, Name):
        raise Foreign("a call of what is no function")
    machine.stack.append(KNOWN[name](values))


def _build(machine: _Machine) -> None:
    state = machine.stack.pop()
    top = machine.stack[-1]
    if isinstance(top, Array):
        _, shape, dtype, by_column, content = state
        top.value = _array(content, dtype, shape, bool(by_column))
    elif not isinstance(top, Dtype):
        raise Foreign("a state for what is no array")


def _memoize(machine: _Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _known(name: Name) -> Name:
    if name not in KNOWN:
        raise Foreign(f"it names {str(name.module)[:80]}.{str(name.name)[:80]}, which no such file does")
    return name


def _key(key: Any) -> str | int:
    if isinstance(key, bytes):
        return key.decode()
    if not isinstance(key, str | int):
        raise Foreign("a key that is no word")
    return key


def _top(machine: _Machine, kind: type) -> Any:
    top = machine.stack[-1]
    if type(top) is not kind:
        raise Foreign(f"damaged (no {kind.__name__} where one belongs)")
    return top


def _dtype(values: tuple[Any, ...]) -> Dtype:
    word = values[0].decode() if isinstance(values[0], bytes) else values[0]
    if word not in BYTES:
        raise Foreign(f"an array of {str(word)[:80]}, and pictures are arrays of bytes")
    return Dtype()


def _array(content: Any, dtype: Any, shape: Any, by_column: bool) -> NDArray[np.uint8]:
    if not isinstance(dtype, Dtype) or not isinstance(content, bytes | memoryview):
        raise Foreign("an array of something else than bytes")
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape) or len(shape) > 4:
        raise Foreign("an array without a shape")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape, order="F" if by_column else "C")


def _from_buffer(values: tuple[Any, ...]) -> Array:
    content, dtype, shape, order = values
    array = Array()
    array.value = _array(content, dtype, shape, order == "F")
    return array


def _encode(values: tuple[Any, ...]) -> bytes:
    """Python 3 writes bytes so at protocol 2."""
    text, encoding = values
    if not isinstance(text, str) or encoding != "latin1":
        raise Foreign("a text in a strange encoding")
    return text.encode("latin1")


def _value(value: Any) -> Any:
    """The result with its arrays in place, one level into a dict: deeper ones belong to no file that we read."""
    if isinstance(value, dict):
        return {str(key): _value(each) if isinstance(each, Array) else each for key, each in value.items()}
    return value.value if isinstance(value, Array) else value


def _ndarray(values: tuple[Any, ...]) -> Any:
    raise Foreign("a call of numpy.ndarray")


def _push(read: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    return lambda machine: machine.stack.append(read(machine))


STOP = ord(".")
KNOWN: dict[Name, Callable[[tuple[Any, ...]], Any]] = {
    Name("numpy.core.multiarray", "_reconstruct"): lambda values: Array(),
    Name("numpy._core.multiarray", "_reconstruct"): lambda values: Array(),
    Name("numpy.core.numeric", "_frombuffer"): _from_buffer,
    Name("numpy._core.numeric", "_frombuffer"): _from_buffer,
    Name("numpy", "dtype"): _dtype,
    Name("numpy", "ndarray"): _ndarray,
    Name("_codecs", "encode"): _encode,
}
STEPS: dict[int, Callable[[_Machine], None]] = {
    ord("K"): _small_numbers,
    ord("q"): lambda machine: machine.memo.__setitem__(machine.take(1)[0], machine.stack[-1]),
    ord("r"): lambda machine: machine.memo.__setitem__(machine.number("<I"), machine.stack[-1]),
    0x94: _memoize,
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
    0x8A: _long,
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
    ord("c"): _global,
    0x93: _stack_global,
    ord("R"): _reduce,
    ord("b"): _build,
    0x80: lambda machine: machine.skip(1),  # the protocol
    0x95: lambda machine: machine.skip(8),  # the length of a frame
}
