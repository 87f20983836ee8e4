"""The rules of a job as one hyperparameter: VanishingGradient:threshold=1e-08,on_issue=stop+Overfit+rules/mine.py

SageMaker's toolkit writes hyperparameters into a shell command and decodes what is JSON, so the text has only letters,
digits and _ . / - : = , + @ and never is JSON: + lies between rules, and any other character of a value is @ and two
hexadecimal digits, as in a URL it is % and those. A file beside the code would do too, but hyperparameters are what the
service shows of a job, and what caching compares.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from refusal import Refusal

from health.rules.judging import Setting
from health.rules.parameters import Value, show
from health.rules.rulebook import BOOK, NOT_HERE

LENGTH = 2500  # of a hyperparameter
NONE = "none"  # an empty hyperparameter does not reach a program
ON_ISSUE = ("warn", "stop")
FILE = re.compile("[A-Za-z0-9_./][A-Za-z0-9_./-]*[.]py")
COMMON = {"base_trial": "the rule looks at this job itself: leave it out"}


def parse(text: str) -> tuple[Setting, ...]:
    """Raises Refusal for the first rule, parameter or value that cannot be."""
    if text == NONE:
        return ()
    settings = []
    for part in text.split("+"):
        name, _, rest = part.partition(":")
        pairs = [each.partition("=") for each in rest.split(",")] if rest else []
        given = {key: _decoded(value) for key, _, value in pairs}
        if len(given) < len(pairs):
            raise Refusal(f"rule {name}: {rest!r} gives a parameter twice: give it once")
        settings.append(checked(name, given))
    return tuple(settings)


def printed(settings: Sequence[Setting]) -> str:
    """What `parse` takes; raises Refusal where it is too long for a hyperparameter."""
    text = "+".join(map(_printed, settings)) or NONE
    if len(text) > LENGTH:
        raise Refusal(
            f"the rules take {len(text):,} characters of {LENGTH:,} in a hyperparameter: use fewer, or defaults"
        )
    return text


def checked(name: str, given: Mapping[str, object]) -> Setting:
    """`given` may be texts, or values as YAML has them; on_issue stands among them."""
    texts = {key: show(value) for key, value in given.items()}
    on_issue = texts.pop("on_issue", ON_ISSUE[0])
    if on_issue not in ON_ISSUE:
        raise Refusal(f"rule {name}: on_issue {on_issue!r}: take warn or stop")
    if name.endswith(".py"):
        return _own(name, texts, on_issue)
    if name in NOT_HERE:
        raise Refusal(f"rule {name} is not judged here, since {NOT_HERE[name]}: drop it")
    if name not in BOOK:
        raise Refusal(f"no rule {name!r}{_nearest(name, BOOK)}; a rule of your own is the path of a .py file")
    return Setting(name, {key: _value(name, key, text) for key, text in texts.items()}, on_issue)


def _own(name: str, texts: Mapping[str, str], on_issue: str) -> Setting:
    if not FILE.fullmatch(name):
        raise Refusal(f"rule {name!r}: name the file by letters, digits and _./- only, such as rules/mine.py")
    if texts:
        raise Refusal(f"rule {name}: {', '.join(texts)}: a rule of your own has its parameters in its file")
    return Setting(name, {}, on_issue)


def _value(name: str, key: str, text: str) -> Value:
    rule = BOOK[name]
    refused = {**COMMON, **rule.refused}
    if key in refused:
        raise Refusal(f"rule {name}: {key}: {refused[key]}")
    if key not in rule.types:
        raise Refusal(f"rule {name}: unknown parameter {key!r}{_nearest(key, [*rule.types, 'on_issue'])}")
    try:
        return rule.types[key].parse(text)
    except ValueError:
        raise Refusal(f"rule {name}: {key} {text!r}: take {rule.types[key].words}") from None


def _nearest(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f": did you mean {near[0]}?" if near else f": known are {', '.join(sorted(known))}"


def _printed(setting: Setting) -> str:
    pairs = [f"{key}={_encoded(show(value))}" for key, value in setting.given.items()]
    if setting.on_issue != ON_ISSUE[0]:
        pairs.append(f"on_issue={setting.on_issue}")
    return setting.rule + (f":{','.join(pairs)}" if pairs else "")


def _encoded(text: str) -> str:
    return re.sub("[^A-Za-z0-9_./-]", lambda found: "".join(f"@{byte:02X}" for byte in found[0].encode()), text)


def _decoded(text: str) -> str:
    try:
        pieces = re.split("@([0-9A-F]{2})", text)
        return b"".join(
            bytes.fromhex(piece) if place % 2 else piece.encode() for place, piece in enumerate(pieces)
        ).decode()
    except UnicodeDecodeError:
        raise Refusal(f"rules: {text!r} is no text: @ and two digits stand for a byte of UTF-8") from None
