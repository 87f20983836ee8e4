"""What a request asks, and what a view answers: views know neither HTTP nor threads."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from pipeline.client import Clients, Hosting
from pipeline.errors import DarkroomError
from pipeline.plan.making import Subject
from pipeline.plan.prices import Money

Facts = list[tuple[str, str]]  # names, and what is shown beside them


@dataclass(frozen=True)
class Asked:
    """`path`: parts of the address by name; `query`: what stands behind its question mark, each name once; `form`:
    what was sent, likewise; `body`: what was sent that is no form.
    """

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Page:
    """A template and what it shows."""

    template: str
    values: Mapping[str, Any]
    status: int = 200


@dataclass(frozen=True)
class Document:
    """A whole page that somebody else wrote: shown in a browser's sandbox. `scripts`: it is ours, and brings one."""

    html: bytes
    scripts: bool


@dataclass(frozen=True)
class Go:
    """To this page, once something is done: loading that again does it no second time."""

    place: str


def broken(defect: Exception) -> DarkroomError:
    """What is said of a defect of ours; its traceback stays in the terminal. For the `except` that met it."""
    traceback.print_exc()
    return DarkroomError(f"the studio broke: {defect!r}", "the terminal has the traceback")


Answer = Page | Document | Go
View = Callable[[Clients, Asked], Answer]
HostingView = Callable[[Clients, Hosting, Asked], Answer]
PricedView = Callable[[Callable[[], Money], Clients, Asked], Answer]


@dataclass(frozen=True)
class Wanted:
    """What pipeline.yaml says now. `given`: values of parameters, such as where pictures of this machine would lie."""

    subject: Subject
    given: Mapping[str, str]
    source: str  # the file


Planned = Callable[[], AbstractContextManager[Wanted]]


@dataclass(frozen=True)
class Studio:
    """`connect` gives the clients of one thread, which are closed behind it. `place`: as Clients has it.

    `hosting` likewise gives what runs behind endpoints. `writes`: whether pages may change
    something. `planned` compiles pipeline.yaml; None where there is none. `money` reads what machines cost out of it.
    """

    connect: Callable[[], AbstractContextManager[Clients]]
    hosting: Callable[[], AbstractContextManager[Hosting]]
    secret: str
    port: int
    place: str = ""
    writes: bool = True
    planned: Planned | None = None
    money: Callable[[], Money] = Money
