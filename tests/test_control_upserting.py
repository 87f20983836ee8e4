"""Upserts, versions, promotion, rollback: here and by boto3 over HTTP, killed at every call, and at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from threading import Barrier
from typing import Any

import deploying
import pytest
from deploying import NAME, ROLE, Counting, aliases, answer_is_lost, connected, tags, text, wanted

from pipeline.client import Clients
from pipeline.control import upserting, versions
from pipeline.control.upserting import upsert
from pipeline.errors import DarkroomError, Unavailable
from pipeline.local.server import LoopbackServer, serve

ROOT = Path(__file__).parent.parent
KEYS = {"AWS_ACCESS_KEY_ID": "dummy", "AWS_SECRET_ACCESS_KEY": "dummy", "AWS_MAX_ATTEMPTS": "1"}


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackServer]:
    """The environment leads boto3 to the local service."""
    running = serve(str(tmp_path / "account"))
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": running.url, "AWS_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture(params=["here", "boto3"])
def clients(request: pytest.FixtureRequest, tmp_path: Path) -> Clients:
    if request.param == "boto3":
        request.getfixturevalue("account")
    return connected(str(tmp_path / "home"))


def numbers(clients: Clients) -> list[int]:
    return [version.id for version in versions.newest_first(clients, NAME)]


def test_the_first_upsert_creates_names_and_tags(clients: Clients) -> None:
    done = upsert(clients, wanted("a"), "current", "c" * 40)
    assert (done.version, done.changed, done.alias_at, done.newer) == (1, "created", 1, 0)
    found = clients.sagemaker.describe_pipeline(PipelineName=NAME)
    assert (found["PipelineDefinition"], found["RoleArn"]) == (text("a"), ROLE)
    assert tags(clients)["team"] == "vision"
    assert tags(clients)[upserting.COMMIT] == "c" * 40
    assert upserting.commit_of(versions.find(clients, NAME)) == "c" * 40


def test_nothing_is_written_where_nothing_changed(clients: Clients) -> None:
    upsert(clients, wanted("a"), "current", "c" * 40)
    silent = clients._replace(sagemaker=Refusing(clients.sagemaker))
    done = upsert(silent, wanted("a"), "current", "d" * 40)
    assert (done.version, done.changed) == (1, "")
    assert tags(clients)[upserting.COMMIT] == "c" * 40


class Refusing:
    """Answers what changes nothing."""

    def __init__(self, sagemaker: Any) -> None:
        self.sagemaker = sagemaker

    def __getattr__(self, name: str) -> Any:
        assert name.startswith(("list_", "describe_")), name
        return getattr(self.sagemaker, name)


def test_a_change_is_a_new_version_that_takes_the_alias_and_the_tags(clients: Clients) -> None:
    upsert(clients, wanted("a"), "current", "a" * 40)
    done = upsert(clients, wanted("b"), "current", "b" * 40)
    assert (done.version, done.changed, aliases(clients)) == (2, "updated", {"current": 2})
    assert tags(clients)[upserting.COMMIT] == "b" * 40
    assert versions.rollback(clients, NAME, "current").now == 1


def test_a_changed_role_or_description_is_sent_without_a_new_version(clients: Clients) -> None:
    upsert(clients, wanted("a"), "current")
    done = upsert(clients, wanted("a", description="more", role=f"{ROLE}-2"), "current")
    found = clients.sagemaker.describe_pipeline(PipelineName=NAME)
    assert (done.changed, found["PipelineDescription"], found["RoleArn"]) == ("updated", "more", f"{ROLE}-2")
    assert numbers(clients) == [1]


def test_other_bytes_are_another_version_though_only_blanks_differ(clients: Clients) -> None:
    upsert(clients, wanted("a"), "current")
    packed = text("a").replace("\n", " ")
    assert upsert(clients, wanted("a", definition=packed), "current").version == 2
    assert clients.sagemaker.describe_pipeline(PipelineName=NAME)["PipelineDefinition"] == packed


def test_a_service_that_writes_definitions_anew_gets_no_version_twice(clients: Clients) -> None:
    rewriting = clients._replace(sagemaker=Rewriting(clients.sagemaker))
    assert upsert(rewriting, wanted("a"), "current").changed == "created"
    assert upsert(rewriting, wanted("a"), "current").changed == ""


class Rewriting:
    """Describes definitions without blanks."""

    def __init__(self, sagemaker: Any) -> None:
        self.sagemaker = sagemaker

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sagemaker, name)

    def describe_pipeline(self, **request: Any) -> Any:
        found = self.sagemaker.describe_pipeline(**request)
        return {**found, "PipelineDefinition": found["PipelineDefinition"].replace("\n", "")}


def test_a_large_definition_goes_through_s3_under_its_content(clients: Clients) -> None:
    clients.storage.put_bytes("s3://bucket/exists", b"")
    large = text("large", size=upserting.INLINE)
    upsert(clients, wanted(definition=large), "current")
    assert clients.sagemaker.describe_pipeline(PipelineName=NAME)["PipelineDefinition"] == large
    stored = [entry.uri for entry in clients.storage.list("s3://bucket/prefix/definitions/")]
    assert len(stored) == 1
    assert clients.storage.get_bytes(stored[0]).decode() == large
    upsert(clients, wanted(definition=text("other", size=upserting.INLINE)), "current")
    assert clients.storage.get_bytes(stored[0]).decode() == large


def test_an_upsert_leaves_an_alias_alone_that_was_rolled_back_since(clients: Clients) -> None:
    upsert(clients, wanted("a"), "current")
    upsert(clients, wanted("b"), "current")
    versions.rollback(clients, NAME, "current")
    done = upsert(clients, wanted("b"), "current")
    assert (done.version, done.changed, done.alias_at) == (2, "", 1)


def test_nobodys_account_is_refused() -> None:
    with pytest.raises(DarkroomError, match="111122223333"):
        upserting.refuse_placeholder(wanted(role=ROLE.replace("123456789012", "111122223333")))
    with pytest.raises(DarkroomError, match="nobody"):
        upserting.refuse_placeholder(wanted(definition=text("s3://darkroom-111122223333/")))
    upserting.refuse_placeholder(wanted())


# versions


@pytest.fixture
def three(clients: Clients) -> Clients:
    for mark in "abc":
        upsert(clients, wanted(mark), "current")
    return clients


def test_a_version_is_found_by_number_alias_or_as_the_current_one(three: Clients) -> None:
    assert versions.find(three, NAME).id == 3
    versions.promote(three, NAME, "production", 2)
    assert versions.find(three, NAME, alias="production").id == 2
    assert versions.find(three, NAME, 1).id == 1
    versions.rollback(three, NAME, "current")
    assert versions.find(three, NAME).id == 2


@pytest.mark.parametrize(
    ("which", "said"),
    [({"number": 9}, "has no version 9; the newest are: 3, 2, 1"), ({"alias": "x"}, "'x'; there are: current")],
)
def test_a_version_that_is_not_there_is_named_with_those_that_are(
    three: Clients, which: dict[str, Any], said: str
) -> None:
    with pytest.raises(DarkroomError, match=said):
        versions.find(three, NAME, **which)


def test_a_promotion_moves_the_alias_and_without_a_version_it_is_the_newest(three: Clients) -> None:
    assert versions.promote(three, NAME, "production", 1) == ("production", 0, 1)
    assert versions.promote(three, NAME, "production") == ("production", 1, 3)
    assert versions.promote(three, NAME, "production", 3) == ("production", 3, 3)
    assert aliases(three) == {"current": 3, "production": 3}


def test_a_rollback_undoes_the_last_promotion_once(three: Clients) -> None:
    versions.promote(three, NAME, "production", 1)
    versions.promote(three, NAME, "production", 3)
    assert versions.rollback(three, NAME, "production") == ("production", 3, 1)
    assert versions.rollback(three, NAME, "production") == ("production", 1, 1)


def test_a_rollback_of_an_alias_that_others_set_goes_to_the_version_before(three: Clients) -> None:
    newest = versions.find(three, NAME)
    operations = {"Add": ["theirs"]}
    three.sagemaker.update_pipeline_version(
        PipelineArn=newest.arn, PipelineVersionId=3, PipelineVersionAliasOperations=operations
    )
    assert versions.rollback(three, NAME, "theirs") == ("theirs", 3, 2)
    versions.promote(three, NAME, "first", 1)
    with pytest.raises(DarkroomError, match="the first there is"):
        versions.rollback(three, NAME, "first")
    with pytest.raises(DarkroomError, match="no version of digits has the alias 'none'"):
        versions.rollback(three, NAME, "none")


def test_a_pipeline_that_comes_without_a_role_keeps_its_own(clients: Clients) -> None:
    upsert(clients, wanted("a"), "current")
    upsert(clients, wanted("b", role="", description=""), "current")
    found = clients.sagemaker.describe_pipeline(PipelineName=NAME)
    assert (found["RoleArn"], found["PipelineDescription"]) == (ROLE, "about")


@pytest.mark.parametrize("alias", ["", "7", "a b", "x" * 120, "a/b"])
def test_what_is_no_alias_is_refused_before_anything_is_asked(clients: Clients, alias: str) -> None:
    with pytest.raises(DarkroomError, match="is no alias"):
        versions.promote(clients, NAME, alias)


# interrupted


def killed(home: str, calls: int, *words: str) -> bool:
    """Runs tests/deploying.py; False where it ended before it made so many calls."""
    argv = [sys.executable, str(ROOT / "tests" / "deploying.py"), home, str(calls), *words]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("verb", ["promote", "rollback"])
def test_a_move_that_is_killed_between_any_two_calls_is_completed_by_repeating_it(tmp_path: Path, verb: str) -> None:
    for calls in range(1, 9):
        home = str(tmp_path / str(calls))
        clients = connected(home)
        for mark in "abc":
            upsert(clients, wanted(mark), "current")
        versions.promote(clients, NAME, "production", 1)
        versions.promote(clients, NAME, "production", 2)
        clients.sagemaker.store.close()
        goal = 3 if verb == "promote" else 1
        words = ("promote", "production", "3") if verb == "promote" else ("rollback", "production")
        interrupted = killed(home, calls, *words)
        if interrupted:
            assert aliases(clients).get("production") in (2, None)
            assert not killed(home, 99, *words)
        assert aliases(clients)["production"] == goal
        if not interrupted:
            break
        assert versions.rollback(clients, NAME, "production").now == (2 if verb == "promote" else 1)
    assert calls > 2


@pytest.mark.parametrize("before", ["nothing", "a"])
def test_an_upsert_that_is_killed_between_any_two_calls_is_completed_by_repeating_it(
    tmp_path: Path, before: str
) -> None:
    for calls in range(1, 9):
        home = str(tmp_path / str(calls))
        clients = connected(home)
        if before == "a":
            upsert(clients, wanted("a"), "current", "a" * 40)
        clients.sagemaker.store.close()
        interrupted = killed(home, calls, "upsert", "b")
        assert not interrupted or not killed(home, 99, "upsert", "b")
        newest = versions.find(clients, NAME)
        assert numbers(clients)[0] == newest.id == (2 if before == "a" else 1)
        assert aliases(clients) == {"current": newest.id}
        assert tags(clients)[upserting.COMMIT] == upserting.commit_of(newest) == "b" * 40
        if not interrupted:
            break
    assert calls > 3


@pytest.mark.parametrize("verb", ["upsert", "promote"])
def test_a_call_whose_answer_is_lost_is_made_up_for_by_repeating_the_command(tmp_path: Path, verb: str) -> None:
    for lost in range(1, 9):
        clients = connected(str(tmp_path / str(lost)))
        upsert(clients, wanted("a"), "current", "a" * 40)

        def act(clients: Clients) -> None:
            if verb == "upsert":
                upsert(clients, wanted("b"), "current", "b" * 40)
            else:
                versions.promote(clients, NAME, "production")

        deaf = Counting(clients.sagemaker, lost, answer_is_lost)
        try:
            act(clients._replace(sagemaker=deaf))
        except Unavailable:
            act(clients)
        newest = versions.find(clients, NAME)
        alias = "current" if verb == "upsert" else "production"
        assert aliases(clients)[alias] == newest.id == len(numbers(clients)) == (2 if verb == "upsert" else 1)
        assert tags(clients)[upserting.COMMIT] == upserting.commit_of(newest)
        if deaf.left > 0:
            break
    assert deaf.left > 0


# at once


def test_two_upserts_at_once_end_in_one_consistent_version(account: LoopbackServer, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    clients = connected(home)
    for marks in ("aa", "bc", "dd", "ef"):
        running = [subprocess.Popen(command(home, mark)) for mark in marks]
        assert [process.wait() for process in running] == [0, 0]
        newest = versions.newest_first(clients, NAME)[0]
        described = clients.sagemaker.describe_pipeline(PipelineName=NAME)["PipelineDefinition"]
        commit = upserting.commit_of(newest)
        assert aliases(clients) == {"current": newest.id}
        assert described == text(commit[0])
        assert commit[0] in marks
        found = tags(clients)
        assert found[upserting.COMMIT] == commit
        assert found[upserting.DEFINITION] == upserting.sha256_hex(described.encode())
    assert numbers(clients)[0] == 6  # the same bytes twice are one version


def command(home: str, mark: str) -> list[str]:
    folders = [str(ROOT), str(ROOT / "tests")]
    code = f"import sys; sys.path[:0] = {folders!r}; import deploying; deploying.main(sys.argv[1:])"
    return [sys.executable, "-c", code, home, "99", "upsert", mark]


class Interleaved:
    """Another upsert happens as a whole before the n-th call, whatever it is."""

    def __init__(self, clients: Clients, number: int, mark: str) -> None:
        self.clients, self.left, self.mark = clients, number, mark

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                upsert(self.clients, wanted(self.mark), "current", self.mark * 40)
            return getattr(self.clients.sagemaker, name)(**request)

        return call


def consistent(clients: Clients) -> str:
    """The mark of the newest version, which definition, alias and tags have to agree on."""
    newest = versions.newest_first(clients, NAME)[0]
    described = clients.sagemaker.describe_pipeline(PipelineName=NAME)["PipelineDefinition"]
    mark = upserting.commit_of(newest)[:1]
    assert aliases(clients) == {"current": newest.id}
    assert described == text(mark)
    assert tags(clients)[upserting.COMMIT] == mark * 40
    assert tags(clients)[upserting.DEFINITION] == upserting.sha256_hex(described.encode())
    return mark


@pytest.mark.parametrize("before", ["nothing", "a"])
@pytest.mark.parametrize("mark", ["b", "c"])
def test_another_upsert_before_any_single_call_ends_in_one_consistent_version(
    tmp_path: Path, before: str, mark: str
) -> None:
    """The other one sends the same bytes, or others."""
    for number in range(1, 40):
        clients = connected(str(tmp_path / str(number)))
        if before == "a":
            upsert(clients, wanted("a"), "current", "a" * 40)
        first = Interleaved(clients, number, mark)
        upsert(clients._replace(sagemaker=first), wanted("b"), "current", "b" * 40)
        if first.left > 0:
            break
        assert consistent(clients) in ("b", mark)
        kept = sum(upserting.commit_of(version)[:1] in ("b", mark) for version in versions.newest_first(clients, NAME))
        assert kept == len({"b", mark})
    assert number > 8


class Pausing:
    """Waits before each call, each time another while, so that every round goes another way."""

    def __init__(self, sagemaker: Any, random: Random) -> None:
        self.sagemaker, self.random = sagemaker, random

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> Any:
            time.sleep(self.random.choice((0, 0, 0.002, 0.01, 0.03)))
            return getattr(self.sagemaker, name)(**request)

        return call


def test_many_upserts_at_once_over_http_with_pauses_end_in_one_consistent_version(
    account: LoopbackServer, tmp_path: Path
) -> None:
    """Three CI jobs, each with clients of its own, begin together, in ten rounds."""
    jobs = [connected(str(tmp_path / str(number))) for number in range(3)]
    began: list[int] = []

    def job(number: int, round_: int, mark: str, together: Barrier) -> None:
        pausing = jobs[number]._replace(sagemaker=Pausing(jobs[number].sagemaker, Random(100 * round_ + number)))
        together.wait()
        upsert(pausing, wanted(mark), "current", mark * 40)
        began.append(round_)

    for round_ in range(10):
        marks = "abc" if round_ % 2 else "def"
        together = Barrier(len(jobs))
        with ThreadPoolExecutor(len(jobs)) as pool:
            running = [pool.submit(job, number, round_, mark, together) for number, mark in enumerate(marks)]
        for each in running:
            each.result()
        assert consistent(jobs[0]) in marks
    assert len(began) == 30


def test_an_alias_that_somebody_else_moves_meanwhile_goes_to_the_newest_version(three: Clients) -> None:
    """Between the look and the call of an older upsert, a newer one has taken the alias away."""
    raced = Racing(three)
    done = upsert(three._replace(sagemaker=raced), wanted("d"), "current", "d" * 40)
    assert (done.version, done.newer, aliases(three)) == (4, 5, {"current": 5})
    assert tags(three)[upserting.COMMIT] == "e" * 40


class Racing:
    """Another upsert happens as a whole before the first call that takes an alias off a version."""

    def __init__(self, clients: Clients) -> None:
        self.clients, self.raced = clients, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.clients.sagemaker, name)

    def update_pipeline_version(self, **request: Any) -> Any:
        if not self.raced:
            self.raced = True
            upsert(self.clients, deploying.wanted("e"), "current", "e" * 40)
        return self.clients.sagemaker.update_pipeline_version(**request)
