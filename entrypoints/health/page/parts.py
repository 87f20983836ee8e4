"""What the sections of the profile's page have in common: cards, figures side by side, a rule's word, names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from health.page.markup import Html, fill, joined
from health.verdicts import ERROR, ISSUES_FOUND, NO_ISSUES_FOUND

STATUS = {NO_ISSUES_FOUND: "good", ISSUES_FOUND: "bad", ERROR: "bad"}
NAMES = {
    "start_up": "start-up",
    "optimizer": "optimiser",
    "transfer": "host to device",
    "data_wait": "data wait",
    "collector": "garbage collector",
    "other": "what is left",
    "waited": "threads that waited for CPUs",
}


def charts(*drawn: tuple[str, Html]) -> Html:
    figure = "<figure><figcaption>{}</figcaption>{}</figure>"
    return fill('<div class="charts">{}</div>', joined(fill(figure, *pair) for pair in drawn)) if drawn else Html("")


def card(title: str, inner: Html) -> Html:
    return fill("<section><h2>{}</h2>{}</section>", title, inner)


def sourced(text: str) -> Html:
    return fill('<p class="source">Source: {}.</p>', text)


def called(part: str) -> str:
    """Of a part of the job, as people say it."""
    return NAMES.get(part, part)


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def said_by(verdict: Mapping[str, Any] | None) -> Html:
    if verdict is None:
        return Html("")
    kind, badge = ("fires" if verdict["status"] == ISSUES_FOUND else ""), STATUS.get(verdict["status"], "")
    text = '<p class="said {}"><span class="badge {}">{}</span> {} {}</p>'
    return fill(text, kind, badge, verdict["status"], verdict["rule"] + ":", advised(verdict))


def advised(verdict: Mapping[str, Any]) -> str:
    advice = f" What to do: {verdict['advice']}." if verdict.get("advice") else ""
    return f"{verdict['message']}.{advice}"
