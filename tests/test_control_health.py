"""What the rules said of a training, as run and show tell it; whatever a job wrote does no harm."""

from __future__ import annotations

import gzip
import json
import lzma
import random
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from health.verdicts import Verdict, body
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judged_training import ARCHIVE, FAILED, FINE, FOUND, MISSING, STEP, clients, content, packed
from reported import EVIL

from pipeline.cli.show import in_full
from pipeline.client import Clients
from pipeline.control import archived, health
from pipeline.errors import ServiceError, StorageError

ALONE = "1 of 1 rule found issues: Overfit (Validation's loss is 0.9 above training's in epoch 5 of 8)"

SHORT = ", ".join([f"Overfit ({'lossy ' * 9}lossy …)"] * 3)


def told(home: Path, judged: Any) -> str:
    found = health.read(clients(home, judged), [STEP])
    assert found is not None
    assert json.loads(json.dumps(health.in_full(found), allow_nan=False))["Summary"] == health.told(found)
    return health.told(found)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ([FINE], "1 rule, no issues"),
        ([FINE] * 6, "6 rules, no issues"),
        ([FOUND], ALONE),
        ([FINE, MISSING], "2 rules, no issues; not evaluated: CPUBottleneck"),
        ([MISSING], "1 rule; not evaluated: CPUBottleneck"),
        ([FAILED, MISSING, FINE], "3 rules, no issues; not evaluated: CPUBottleneck; failed themselves: mine"),
        ([FOUND._replace(message="lossy " * 90)] * 5, f"5 of 5 rules found issues: {SHORT} and 2 more"),
        ([], "no rules"),
    ],
)  # fmt: skip
def test_the_line_says_what_is_not_green(tmp_path: Path, found: list[Verdict], line: str) -> None:
    assert told(tmp_path, content(*found)) == line


def test_a_program_gets_every_figure_under_debuggers_names(tmp_path: Path) -> None:
    infinite = FOUND._replace(value=float("inf"))
    found = health.in_full(health.read(clients(tmp_path, content(infinite)), [STEP]))
    assert found is not None
    [rule] = found["Rules"]
    assert rule == {
        "RuleConfigurationName": "Overfit",
        "RuleEvaluationStatus": "IssuesFound",
        "StatusDetails": "Validation's loss is 0.9 above training's in epoch 5 of 8",
        "Advice": "more data",
        "OnIssue": "warn",
        "Points": 8,
        "Step": 120,
        "Tensor": None,
        "Value": "Infinity",
        "Threshold": 0.1,
    }
    assert (found["StepName"], found["NotKnown"]) == ("Train", None)


def test_show_has_it_in_full(tmp_path: Path) -> None:
    assert in_full(clients(tmp_path, content(FINE)), "arn:x")["Health"]["Summary"] == "1 rule, no issues"


@pytest.mark.parametrize(
    ("judged", "why"),
    [
        (None, "output.tar.gz has no health/health.json of up to 1 MiB"),
        (b"{", "health/health.json is no JSON: "),
        (b"[" * 100_000, "health/health.json is no JSON: "),
        (b'{"rules": [{"rule": "a", "status": "IssuesFound", "value": NaN}]}', "is no JSON: NaN is no number"),
        (b" " * (1 << 20) + b"{}", "has no health/health.json of up to 1 MiB"),
        ({"rules": [content(FINE)["rules"][0]] * 101}, "health/health.json has no list of rules"),
        ({"rules": [{"rule": "a", "status": "Great"}]}, "'status': 'Great'} is no verdict of a rule"),
    ],
)
def test_what_cannot_be_read_is_not_known_and_why(tmp_path: Path, judged: Any, why: str) -> None:
    line = told(tmp_path, judged)
    assert line.startswith("not known (")
    assert why in line


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_an_archive_that_is_cut_short_is_told(tmp_path: Path, share: float) -> None:
    made = clients(tmp_path, content(FINE))
    whole = packed({"classes.jsonl": bytes(range(256)) * 99, "health/health.json": json.dumps(content(FINE)).encode()})
    made.storage.put_bytes(ARCHIVE, whole[: int(share * len(whole))])
    assert health.told(health.read(made, [STEP])).startswith("not known (output.tar.gz cannot be read: ")


def test_an_archive_that_is_gone_is_told(tmp_path: Path) -> None:
    made = clients(tmp_path, content(FINE))
    made.storage.delete(ARCHIVE)
    assert health.told(health.read(made, [STEP])) == f"not known (there is no {ARCHIVE})"


def test_who_may_not_read_the_archive_learns_it(tmp_path: Path) -> None:
    class Closed:
        def get_bytes(self, uri: str, most: int = 0) -> bytes:
            raise ServiceError("AccessDenied", "Access Denied")

    made = clients(tmp_path, content(FINE))._replace(storage=Closed())
    assert health.told(health.read(made, [STEP])) == f"not known ({ARCHIVE}: Access Denied)"


class Small:
    """Storage that holds more than anybody takes."""

    def get_bytes(self, uri: str, most: int = 0) -> bytes:
        assert most, "all of it was asked for"
        raise StorageError(f"{uri} has more than {most:,} bytes")


def test_an_archive_that_is_too_large_is_told_and_not_fetched(tmp_path: Path) -> None:
    made = clients(tmp_path, content(FINE))._replace(storage=Small())
    assert health.told(health.read(made, [STEP])) == f"not known ({ARCHIVE} has more than {archived.PACKED:,} bytes)"


def test_what_lies_below_a_checkpoint_is_not_fetched_when_it_is_too_large() -> None:
    job = {"TrainingJobName": "j", "CheckpointConfig": {"S3Uri": "s3://b/c"}}
    assert archived.beside_checkpoint(Clients(None, None, Small(), ""), job, health.FILE, 9) is None


@pytest.mark.parametrize(("told", "status"), [({}, "Completed"), ({"health_rules": "Overfit"}, "InProgress")])
def test_a_training_without_rules_or_without_an_end_has_no_line(
    tmp_path: Path, told: dict[str, str], status: str
) -> None:
    made = clients(tmp_path, content(FINE))
    made.sagemaker.told, made.sagemaker.status = told, status
    assert health.read(made, [STEP]) is None
    assert health.in_full(None) is None


@pytest.mark.parametrize(("judged", "line"), [(content(FINE), "1 rule, no issues"), (None, None)])
@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_training_that_came_to_no_end_has_a_line_where_it_left_verdicts(
    tmp_path: Path, judged: Any, line: str | None, status: str
) -> None:
    """One that a rule stopped is such a training; here its output is not kept, on AWS it may be."""
    made = clients(tmp_path, judged)
    made.sagemaker.status = status
    found = health.read(made, [STEP])
    assert (found and health.told(found)) == line


def test_a_training_that_was_told_of_no_rules_leaves_no_verdicts(tmp_path: Path) -> None:
    made = clients(tmp_path)
    made.sagemaker.told = {"health_rules": "none"}
    assert health.told(health.read(made, [STEP])) == "no rules"


def test_what_could_drive_a_terminal_does_not_reach_it(tmp_path: Path) -> None:
    line = told(tmp_path, content(FOUND._replace(rule="\x1b[2J\n\u202e", message=f"\x07{EVIL}\r\n\ud800")))
    assert line.isprintable()
    assert len(line) < 200


def chained(kind: bytes, text: bytes) -> bytes:
    """Headers without end, each of which speaks of the next."""
    header = tarfile.TarInfo("long")
    header.type, header.size = kind, len(text)
    return gzip.compress((header.tobuf(tarfile.GNU_FORMAT) + text.ljust(512, b"\0")) * 3000)


def spoilt() -> bytes:
    """Of xz, which nobody packs output.tar.gz with, and whose errors are its own."""
    whole = bytearray(lzma.compress(gzip.decompress(packed({"noise": random.Random(0).randbytes(300_000)}))))
    whole[len(whole) // 2] ^= 255
    return bytes(whole)


@pytest.mark.parametrize(
    "archive", [chained(tarfile.GNUTYPE_LONGNAME, b"a" * 10), chained(tarfile.XHDTYPE, b"9 path=a\n"), spoilt()]
)
def test_an_archive_that_is_hostile_is_told(tmp_path: Path, archive: bytes) -> None:
    made = clients(tmp_path, content(FINE))
    made.storage.put_bytes(ARCHIVE, archive)
    assert health.told(health.read(made, [STEP])).startswith("not known (output.tar.gz cannot be read: ")


def test_an_archive_that_unpacks_to_more_than_can_be_ours_is_left(tmp_path: Path) -> None:
    made = clients(tmp_path, content(FINE), large=b"0" * 9000)
    [(name, body)] = archived.files(made, ARCHIVE, lambda name, size: size == 9000)
    assert (name, body) == ("large", b"0" * 9000)
    with pytest.raises(archived.Torn, match="unpacks to more than 5,000 bytes"):
        list(archived.files(made, ARCHIVE, lambda name, size: True, most=5000))


rows = st.fixed_dictionaries(
    {"rule": st.text(), "status": st.sampled_from(health.STATUSES)},
    optional=dict.fromkeys(
        [*(key for key in body(FINE) if key not in ("rule", "status")), "on_issue"],
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
    ),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    judged=ANYTHING
    | st.fixed_dictionaries(
        {"rules": st.lists(rows | ANYTHING, max_size=3)}, optional={"steps": ANYTHING, "every": ANYTHING}
    )
)
def test_any_content_gives_one_harmless_line(tmp_path: Path, judged: Any) -> None:
    line = told(tmp_path, judged)
    assert line.isprintable()
    assert re.match(r"not known \(|no rules$|\d+ rules?(, no issues|; |$)|\d+ of \d+ rules? found issues: ", line)
