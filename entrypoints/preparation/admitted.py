"""The few things that a CIFAR pickle may name, and what stands for them; nothing of NumPy is called with its words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BYTES = ("u1", "|u1", "uint8")


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


def named(module: Any, name: Any) -> Name:
    # The types come first: hashing or printing a tuple nested a million deep ends the process.
    if type(module) is not str or type(name) is not str or Name(module, name) not in KNOWN:
        raise Foreign(f"it names {_shown(module)}.{_shown(name)}, which no such file does")
    return Name(module, name)


def called(name: Any, values: Any) -> Any:
    if not isinstance(values, tuple) or not isinstance(name, Name):
        raise Foreign("a call of what is no function")
    return KNOWN[name](values)


def completed(value: Any, state: Any) -> None:
    """An array gets its content; NumPy gives a dtype a state as well, and one of bytes needs none."""
    if isinstance(value, Array):
        _, shape, dtype, by_column, content = state
        value.value = _array(content, dtype, shape, bool(by_column))
    elif not isinstance(value, Dtype):
        raise Foreign("a state for what is no array")


def key(word: Any) -> str | int:
    if isinstance(word, bytes):
        return word.decode()
    if not isinstance(word, str | int):
        raise Foreign("a key that is no word")
    return word


def finished(value: Any) -> Any:
    """The result with its arrays in place, one level into a dict: deeper ones belong to no file that we read."""
    if isinstance(value, dict):
        return {str(key): finished(each) if isinstance(each, Array) else each for key, each in value.items()}
    return value.value if isinstance(value, Array) else value


def _dtype(values: tuple[Any, ...]) -> Dtype:
    word = values[0].decode() if isinstance(values[0], bytes) else values[0]
    if type(word) is not str or word not in BYTES:
        raise Foreign(f"an array of {_shown(word)}, and pictures are arrays of bytes")
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


def _shown(word: Any) -> str:
    return word[:80] if isinstance(word, str) else type(word).__name__


def _ndarray(values: tuple[Any, ...]) -> Any:
    raise Foreign("a call of numpy.ndarray")


KNOWN: dict[Name, Callable[[tuple[Any, ...]], Any]] = {
    Name("numpy.core.multiarray", "_reconstruct"): lambda values: Array(),
    Name("numpy._core.multiarray", "_reconstruct"): lambda values: Array(),
    Name("numpy.core.numeric", "_frombuffer"): _from_buffer,
    Name("numpy._core.numeric", "_frombuffer"): _from_buffer,
    Name("numpy", "dtype"): _dtype,
    Name("numpy", "ndarray"): _ndarray,
    Name("_codecs", "encode"): _encode,
}
