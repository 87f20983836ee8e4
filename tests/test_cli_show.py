"""`darkroom show` on terminals and in pipes: graph, curves and facts of a run whose names and reasons are hostile."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from reported import ARN, FakeSageMaker, definition, finished_run, put_archive, step

from pipeline.cli.show import LARGEST, show
from pipeline.client import Clients
from pipeline.errors import ServiceError, Unavailable

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31mred\r\x08é"
EPOCHS = [{"epoch": n, "train_loss": 1 / n, "validation_loss": 1.2 / n, "validation_accuracy": 0.9} for n in (1, 2)]


class Screen(io.TextIOWrapper):
    """What stdout is: a terminal or not, of this encoding."""

    def __init__(self, terminal: bool, encoding: str) -> None:
        self.bytes = io.BytesIO()
        self._terminal = terminal
        super().__init__(self.bytes, encoding=encoding, write_through=True)

    def isatty(self) -> bool:
        return self._terminal


class Hostile(FakeSageMaker):
    """As the run of the report's tests, what names and says of itself what drives terminals."""

    def describe_pipeline_execution(self, PipelineExecutionArn: str) -> dict[str, Any]:
        return {**super().describe_pipeline_execution(PipelineExecutionArn), "FailureReason": f"first\n{HOSTILE}"}

    def list_pipeline_execution_steps(self, **_: Any) -> dict[str, Any]:
        rows = super().list_pipeline_execution_steps()["PipelineExecutionSteps"]
        rows[-1] = step(HOSTILE, "Processing", 9, 10, StepStatus="Failed", FailureReason=f"{HOSTILE} {'why ' * 40}")
        rows[2]["Darkroom"] = {"CacheMiss": [f"TrainingJobDefinition.{'x' * 90}"]}
        del rows[2]["CacheHitResult"]
        return {"PipelineExecutionSteps": rows}

    def describe_pipeline_definition_for_execution(self, **_: Any) -> dict[str, Any]:
        edges = [("Tune", "Prepare"), ("Train", "Tune"), (HOSTILE, "Train")]
        kinds = {"Prepare": "Processing", "Tune": "Tuning", "Train": "Training", HOSTILE: "Processing"}
        return {"PipelineDefinition": json.dumps(definition(*edges, **kinds, Never="Condition"))}

    def describe_hyper_parameter_tuning_job(self, **_: Any) -> dict[str, Any]:
        return {**super().describe_hyper_parameter_tuning_job(), "BestTrainingJob": {}}


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Clients:
    made = finished_run(tmp_path_factory.mktemp("run"))
    put_archive(made.storage, "s3://bucket/j/output/output.tar.gz", {"epochs": EPOCHS})
    return made._replace(sagemaker=Hostile(Path(made.home) / "Publish.log"))


@pytest.fixture
def printed(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Any:
    def look(terminal: bool = False, columns: int = 100, encoding: str = "utf-8", **environment: str) -> str:
        screen = Screen(terminal, encoding)
        for name in ("NO_COLOR", "TERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"COLUMNS": str(columns), **environment}.items():
            monkeypatch.setenv(name, value)
        with redirect_stdout(screen):
            show(clients, ARN)
        return screen.bytes.getvalue().decode(encoding)

    return look


def graph(text: str) -> list[str]:
    return text.partition("\n\n")[0].splitlines()[1:]


def test_a_pipe_gets_the_whole_graph_without_colours_and_the_outcome_last(printed: Any) -> None:
    text = printed()
    assert [line[0] for line in graph(text)] == ["✓", "✓", "✓", "✗", " "]
    assert graph(text)[-1].split() == ["·", "Never", "not", "run"]
    assert "miss: TrainingJobDefinition." + "x" * 90 in text
    assert "why why why" in text
    curves, facts = text.split("\n\n")[1:]
    assert curves.startswith("Train: best validation_accuracy 0.9 in epoch 1 of 2, validation_loss 0.6 in 2\n")
    assert facts.splitlines()[-3:-1] == ["status     Failed", "reason     first"]


@pytest.mark.parametrize("terminal", [False, True])
def test_no_name_and_no_reason_drives_the_terminal(printed: Any, terminal: bool) -> None:
    text = printed(terminal, NO_COLOR="1")
    assert all(each.isprintable() or each == "\n" for each in text)
    assert "�]0;title��[2J�31mred" in text
    assert text.splitlines()[-2] == "reason     first"
    assert text.splitlines()[-1].startswith(" " * 11)


@pytest.mark.parametrize(
    ("terminal", "environment", "colours"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    printed: Any, terminal: bool, environment: dict[str, str], colours: bool
) -> None:
    assert ("\x1b[32m✓\x1b[0m" in printed(terminal, **environment)) == (colours)
    assert ("\x1b" in printed(terminal, **environment)) == colours


@pytest.mark.parametrize("columns", [80, 140])
def test_a_terminal_gets_lines_of_its_width_but_for_why_something_failed(printed: Any, columns: int) -> None:
    lines = graph(printed(True, columns, NO_COLOR="1"))
    assert [line for line in lines if len(line) > columns] == [line for line in lines if line.startswith("✗")]
    assert lines[2].startswith("✓   Train") and "miss" in lines[2] and "…" in lines[2]
    assert "why why why" in lines[3]


def test_the_curves_of_a_training_that_left_too_much_are_not_looked_for(clients: Clients, printed: Any) -> None:
    uri = "s3://bucket/j/output/output.tar.gz"
    held = clients.storage.get_bytes(uri)
    clients.storage.put_bytes(uri, held + b"\0" * LARGEST)
    try:
        text = printed()
        assert "best validation_accuracy" not in text
        assert f"Train: its curves cannot be read: {uri} has more than {LARGEST:,} bytes\n" in text
    finally:
        clients.storage.put_bytes(uri, held)


def test_curves_that_may_not_be_read_hide_nothing_else(clients: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    show(clients._replace(storage=Closed(clients.storage)), ARN)
    text = capsys.readouterr().out
    assert "Train: its curves cannot be read: not for you\n" in text
    assert "status     Failed" in text


def test_curves_that_cannot_be_had_now_are_told_with_all_else(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = Unavailable("NoAnswer", "no answer", hint="again")
    with pytest.raises(Unavailable) as raised:
        show(clients._replace(storage=Closed(clients.storage, gone)), ARN)
    assert "status     Failed\nreason     first" in capsys.readouterr().out
    assert (raised.value.message, raised.value.hint) == ("no answer\n  missing above: curves", "again")


def test_once_something_cannot_be_had_nothing_more_is_asked_for(clients: Clients) -> None:
    asked: list[str] = []

    class Gone:
        def __getattr__(self, name: str) -> Any:
            def refuse(*_: Any) -> None:
                asked.append(name)
                raise Unavailable("NoAnswer", "no answer")

            return refuse

    with pytest.raises(Unavailable) as raised:
        show(clients._replace(storage=Gone(), sagemaker=FakeSageMaker(Path("no.log"))), ARN)
    assert raised.value.message == "no answer\n  missing above: accuracy, health, models, curves"
    assert len(asked) == 1


def test_what_alone_may_not_be_read_hides_nothing_else(clients: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    class Denied(FakeSageMaker):
        def list_pipeline_parameters_for_execution(self, **_: Any) -> Any:
            raise ServiceError("AccessDeniedException", "not for you")

    with pytest.raises(ServiceError) as raised:
        show(clients._replace(sagemaker=Denied(Path("no.log"))), ARN)
    assert raised.value.message == "not for you\n  missing above: set"
    text = capsys.readouterr().out
    assert "best validation_accuracy" in text and "status     Failed" in text


def test_a_service_that_is_gone_leaves_what_was_known_before(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    class Gone(FakeSageMaker):
        def describe_training_job(self, **_: Any) -> Any:
            raise Unavailable("NoAnswer", "no answer")

    with pytest.raises(Unavailable) as raised:
        show(clients._replace(sagemaker=Gone(Path("no.log"))), ARN)
    assert "status     Failed" in capsys.readouterr().out
    assert raised.value.message.startswith("no answer\n  missing above: results of steps, set, accuracy")


class Closed:
    """Storage whose archives are not for this caller."""

    def __init__(self, storage: Any, error: ServiceError | None = None) -> None:
        self._storage = storage
        self._error = error or ServiceError("AccessDenied", "not for you")

    def get_bytes(self, uri: str, *most: int) -> bytes:
        if uri.endswith(".tar.gz"):
            raise self._error
        return bytes(self._storage.get_bytes(uri, *most))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_another_encoding_than_utf_8_gets_ascii_and_question_marks(printed: Any, encoding: str) -> None:
    text = printed(encoding=encoding)
    assert text.replace("é", "").isascii()
    assert [line[0] for line in graph(text)] == ["o", "o", "o", "x", " "]
    assert "*" in text.split("\n\n")[1]


def test_the_console_of_linux_has_no_braille(printed: Any) -> None:
    assert printed(TERM="linux").replace("é", "").replace("�", "").isascii()
