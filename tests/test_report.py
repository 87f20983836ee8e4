"""The page of a run: what it shows, and that nothing on it can run."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import tarfile
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.client import Clients
from pipeline.definition import Definition
from pipeline.local.storage import Storage
from pipeline.report import write_report
from pipeline.report.charts import Series, chart, number
from pipeline.report.collect import Run, collect
from pipeline.report.dataset import MEANINGS, view
from pipeline.report.evaluation import OPEN_CLASSES
from pipeline.report.evaluation import view as judge
from pipeline.report.graph import draw
from pipeline.report.pictures import BUDGET, LARGEST, Pictures
from pipeline.report.sections import DATASET, EVALUATION, FINDING, is_ours

COMPARED: dict[str, Any] = {
    "compared": True,
    "verdict": "no difference shown",
    "count": 100,
    "accuracy": 0.91,
    "champion_accuracy": 0.9,
    "difference": 0.01,
    "interval": [-0.02, 0.04],
    "right_here_only": 3,
    "right_there_only": 2,
    "left_out": 0,
    "classes_new": [],
    "classes_gone": [],
    "regressions": [],
    "per_class": [],
}
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
ARN = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/digits/execution/abc123"
PREFIX = "arn:aws:sagemaker:us-east-1:111122223333"


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(1_700_000_000 + seconds, UTC)


def step(name: str, kind: str, start: float, end: float, **more: Any) -> dict[str, Any]:
    body = {"StepName": name, "StepType": kind, "StepStatus": "Succeeded", "StartTime": at(start), "EndTime": at(end)}
    return {**body, "Metadata": {}, **more}


def metadata(kind: str, part: str, name: str) -> dict[str, Any]:
    return {"Metadata": {kind: {"Arn": f"{PREFIX}:{part}/{name}"}}}


def definition(*edges: tuple[str, str], **types: str) -> dict[str, Any]:
    """Steps in the order of `types`; an edge is (waits, for)."""
    steps = [
        {
            "Name": name,
            "Type": kind,
            "Arguments": {},
            "DependsOn": [before for after, before in edges if after == name],
        }
        for name, kind in types.items()
    ]
    return {"Version": "2020-12-01", "Parameters": [], "Steps": steps}


class FakeSageMaker:
    """One finished run of four steps, whose names, logs and reports are hostile."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def describe_pipeline_execution(self, PipelineExecutionArn: str) -> dict[str, Any]:
        return {
            "PipelineExecutionArn": PipelineExecutionArn,
            "PipelineExecutionStatus": "Failed",
            "CreationTime": at(0),
            "FailureReason": EVIL,
            "Darkroom": {"Parity": [{"Subject": EVIL, "How": EVIL}]},
        }

    def list_pipeline_execution_steps(self, **_: Any) -> dict[str, Any]:
        failed = {"StepStatus": "Failed", "FailureReason": EVIL, "Darkroom": {"LogPath": str(self.log)}}
        rows = [
            step("Prepare", "Processing", 0, 2, **metadata("ProcessingJob", "processing-job", "p")),
            step("Tune", "Tuning", 2, 8, **metadata("TuningJob", "hyper-parameter-tuning-job", "t")),
            step("Train", "Training", 8, 9, CacheHitResult={}, **metadata("TrainingJob", "training-job", "j")),
            step("Publish", "Processing", 9, 10, **failed),
        ]
        return {"PipelineExecutionSteps": rows}

    def describe_pipeline_definition_for_execution(self, **_: Any) -> dict[str, Any]:
        document = definition(Prepare="Processing", Tune="Tuning", Train="Training", Publish="Processing")
        document["Steps"][0]["PropertyFiles"] = [
            {"Name": "E", "OutputName": "evaluation", "FilePath": "evaluation.json"}
        ]
        document["Steps"][0]["DisplayName"] = EVIL
        document["Parameters"] = [{"Name": "Address", "Type": "String", "DefaultValue": "x"}]
        return {"PipelineDefinition": json.dumps(document)}

    def list_pipeline_parameters_for_execution(self, **_: Any) -> dict[str, Any]:
        return {"PipelineParameters": [{"Name": "Address", "Value": EVIL}]}

    def describe_processing_job(self, **_: Any) -> dict[str, Any]:
        outputs = [
            {"OutputName": name, "S3Output": {"S3Uri": f"s3://bucket/{name}/"}} for name in ("report", "evaluation")
        ]
        return {"ProcessingOutputConfig": {"Outputs": outputs}}

    def describe_hyper_parameter_tuning_job(self, **_: Any) -> dict[str, Any]:
        goal = {"MetricName": EVIL, "Type": "Maximize"}
        return {
            "HyperParameterTuningJobConfig": {"HyperParameterTuningJobObjective": goal},
            "BestTrainingJob": {"TrainingJobName": "trial-1"},
        }

    def list_training_jobs_for_hyper_parameter_tuning_job(self, **_: Any) -> dict[str, Any]:
        rows = [
            {
                "TrainingJobName": f"trial-{index}",
                "TrainingJobStatus": "Completed" if index < 2 else "Failed",
                "CreationTime": at(index),
                "TunedHyperParameters": {"lr": str(10.0**-index), "optimizer": EVIL},
                **({"FinalHyperParameterTuningJobObjectiveMetric": {"Value": 0.9 + index / 100}} if index < 2 else {}),
            }
            for index in range(3)
        ]
        return {"TrainingJobSummaries": rows}

    def describe_training_job(self, **_: Any) -> dict[str, Any]:
        return {"ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/j/output/model.tar.gz"}}


@pytest.fixture
def clients(tmp_path: Path) -> Clients:
    storage = Storage(str(tmp_path))
    matrix = {EVIL: {EVIL: 8, "two": 1}, "two": {EVIL: 0, "two": 9}}
    quality = {"accuracy": {"value": 0.9444}, "confusion_matrix": matrix}
    put_json(storage, "s3://bucket/evaluation/evaluation.json", {"multiclass_classification_metrics": quality})
    counts = {"train": {EVIL: 10, "two": 20}, "test": {EVIL: 3, "two": 3}}
    put_json(storage, "s3://bucket/report/dataset.json", {"classes": [EVIL, "two"], "counts": counts})
    worst = [{"name": EVIL, "actual": EVIL, "predicted": "two", "probability": 0.9, "png": '"><script>x</script>'}]
    put_json(storage, "s3://bucket/report/evaluation.json", {"worst": worst, "accuracy_interval": [0.9, 0.97]})
    storage.put_bytes("s3://bucket/report/half.json", b'{"a": ')
    epochs = [{"epoch": n, "train_loss": 1 / n, "validation_loss": 1.2 / n, "validation_accuracy": 0.9} for n in (1, 2)]
    put_archive(storage, "s3://bucket/j/output/output.tar.gz", {"epochs": epochs, "hyperparameters": {"lr": EVIL}})
    log = tmp_path / "Publish.log"
    log.write_text(f"first\n{EVIL}\n")
    service = FakeSageMaker(log)
    return Clients(service, service, storage, str(tmp_path))


def put_json(storage: Storage, uri: str, value: Any) -> None:
    storage.put_bytes(uri, json.dumps(value).encode())


def put_archive(storage: Storage, uri: str, training: Any) -> None:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        for name, text in (("./report/training.json", json.dumps(training)), ("../report/escape.json", "{}")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    storage.put_bytes(uri, body.getvalue())


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def html(clients: Clients) -> str:
    return Path(write_report(clients, ARN)).read_text(encoding="utf-8")


def test_the_report_lies_with_its_execution(clients: Clients) -> None:
    assert write_report(clients, ARN) == f"{clients.home}/executions/abc123/report.html"
    assert [path.name for path in Path(clients.home, "executions", "abc123").iterdir()] == ["report.html"]


def test_html_in_names_logs_and_reports_is_shown_and_not_run(html: str) -> None:
    elements = Elements(html)
    assert "script" not in elements.tags
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    assert "".join(elements.text).count("<script>alert(1)</script>") >= 8


def test_the_page_is_self_contained(html: str) -> None:
    addresses = [value for name, value in Elements(html).attributes if name in ("src", "href", "srcset", "action")]
    assert all(re.match(r"data:image/(png|jpeg|svg\+xml);base64,", str(value)) for value in addresses)
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src 'none'" in html


def test_a_figure_stands_for_each_thing_that_people_look_for(html: str) -> None:
    text = re.sub(r"\s+", " ", "".join(Elements(html).text))
    for words in ("94.44 %", "95 % between 90.00 and 97.00", "3 trials", "cache hit", "Learning curves", "10.0 s"):
        assert words in text
    assert "What was different from AWS" in text


def test_what_a_job_left_half_written_is_left_out(clients: Clients) -> None:
    assert set(collect(clients, ARN).sections) == {"dataset", "evaluation", "training"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dataset", {"counts": 3}),
        ("dataset", {"classes": "ab", "counts": {"train": [1, 2]}}),
        ("dataset", {"classes": ["a"], "counts": {"train": {"a": -1}}}),
        ("dataset", {"classes": ["a"], "counts": {"train": {"a": 10**400}}}),
        ("dataset", {"findings": {"leaks": 3}}),
        ("dataset", {"findings": [{"finding": "leaks", "groups": [["a", 1]]}]}),
        ("dataset", {"findings": [{"finding": "small_classes", "classes": {"a": "few"}}]}),
        ("dataset", {"pictures": {"classes": "classes.svg"}}),
        ("dataset", {"pictures": {"duplicates": [{"file": "duplicates/00.jpg"}]}}),
        ("dataset", {"class_weights": ["1"]}),
        ("dataset", {"image_size": True}),
        ("evaluation", {"accuracy_interval": [0.9, 10**400]}),
        ("evaluation", {"accuracy_interval": [0.9]}),
        ("evaluation", {"worst": [{"name": "a"}]}),
        ("evaluation", {"worst": [{"name": "a", "actual": "b", "predicted": "c", "probability": "high", "png": ""}]}),
        ("evaluation", {"top_5_accuracy": "high"}),
        ("evaluation", {"calibration": {"temperature": 1.5}}),
        ("evaluation", {"calibration": {"temperature": 1, "error_before": 0, "error_after": 0, "in_the_model": 1}}),
        ("evaluation", {"reliability": {"before": [{"count": 1}]}}),
        ("evaluation", {"gradcam": {"layer": "layer4", "size": [4]}}),
        ("evaluation", {"champion": {"compared": True}}),
        ("evaluation", {"champion": {**COMPARED, "per_class": [{"class": "a"}]}}),
        ("evaluation", {"champion": {**COMPARED, "interval": [0.1, 10**400]}}),
        ("training", {"epochs": 3}),
        ("training", {"epochs": [{"loss": 0.5}]}),
        ("training", {"hyperparameters": ["lr"]}),
    ],
)
def test_a_report_of_the_same_name_that_somebody_else_wrote_is_left_out(
    clients: Clients, name: str, content: dict[str, Any]
) -> None:
    put_json(clients.storage, f"s3://bucket/report/{name}.json", content)
    if name == "training":
        put_archive(clients.storage, "s3://bucket/j/output/output.tar.gz", content)
    assert name not in collect(clients, ARN).sections
    assert Path(write_report(clients, ARN)).stat().st_size > 10_000


@pytest.mark.parametrize("matrix", [[[1, 2], [3, 4]], {"a": [1]}, {"a": {"a": "many"}}, "none"])
def test_a_confusion_matrix_of_another_shape_is_left_out(clients: Clients, matrix: Any) -> None:
    quality = {"accuracy": {"value": 0.5}, "confusion_matrix": matrix}
    put_json(clients.storage, "s3://bucket/evaluation/evaluation.json", {"multiclass_classification_metrics": quality})
    assert "Confusion matrix" not in Path(write_report(clients, ARN)).read_text(encoding="utf-8")


def test_a_trial_without_an_objective_is_listed_and_not_plotted(clients: Clients) -> None:
    tuning = collect(clients, ARN).tunings[0]
    assert [trial.objective for trial in tuning.trials] == [0.9, 0.91, None]
    assert [trial.best for trial in tuning.trials] == [False, True, False]


def test_the_log_of_the_failed_step_alone_is_shown(clients: Clients) -> None:
    assert collect(clients, ARN).logs == {"Publish": ["first", EVIL]}


# the data set

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(3)</script></svg>'
JPEG = b"\xff\xd8\xff" + bytes(1000)


def put_dataset(clients: Clients, **more: Any) -> None:
    counts = {"train": {"cat": 1200, "dog": 20}, "validation": {"cat": 3}, "test": {"cat": 3, "dog": 3}}
    body = {"classes": ["cat", "dog"], "counts": counts, **more}
    put_json(clients.storage, "s3://bucket/report/dataset.json", body)


def put_pictures(clients: Clients, **contents: bytes) -> dict[str, Any]:
    """The key "pictures" as entrypoints/drawings.py writes it, and the files that it names."""
    pair = {"names": [EVIL, "b.png"], "classes": ["cat", EVIL], "places": ["test", "dropped"]}
    files = {"classes.svg": SVG, "sizes.svg": SVG, "contact/000-cat.jpg": JPEG, "duplicates/00.jpg": JPEG}
    for name, content in {**files, **contents}.items():
        clients.storage.put_bytes(f"s3://bucket/report/{name}", content)
    return {
        "classes": ["classes.svg"],
        "sizes": "sizes.svg",
        "contact": ["contact/000-cat.jpg"],
        "duplicates": [{"file": "duplicates/00.jpg", **pair}],
    }


def data_section(clients: Clients) -> str:
    page = Path(write_report(clients, ARN)).read_text(encoding="utf-8")
    return page.partition("<h2>Data</h2>")[2].partition("</section>")[0]


def words(html: str) -> str:
    return re.sub(r"\s+", " ", " ".join(Elements(html).text))


def sources(html: str) -> list[str]:
    return [str(value) for name, value in Elements(html).attributes if name == "src"]


def test_a_data_set_of_an_earlier_version_is_shown(clients: Clients) -> None:
    put_dataset(clients, findings=[{"finding": "ignored_files", "count": 1, "files": ["notes.txt"]}])
    text = words(data_section(clients))
    assert "ignored files" in text
    assert "notes.txt" in text
    assert "cat 1,200 3 3" in text


def test_a_data_set_without_findings_says_so(clients: Clients) -> None:
    put_dataset(clients, findings=[])
    assert "Nothing to complain about." in words(data_section(clients))


def test_what_was_prepared_from_what_is_told(clients: Clients) -> None:
    source = {"kind": "imagefolder", "digest": "ab" * 32}
    put_dataset(clients, source=source, image_size=224, stored_size=256, square="pad", encoding="jpeg")
    text = words(data_section(clients))
    for part in ("imagefolder", "ab" * 32, "squares of 224 × 224, cut out of 256 × 256, square: pad, encoding: jpeg"):
        assert part in text


def test_pictures_of_a_data_set_are_part_of_the_page_as_images_only(clients: Clients) -> None:
    put_dataset(clients, pictures=put_pictures(clients))
    section = data_section(clients)
    jpeg, svg = base64.b64encode(JPEG).decode(), base64.b64encode(SVG).decode()
    charts = [f"data:image/svg+xml;base64,{svg}"] * 2
    assert sources(section) == [*charts, *[f"data:image/jpeg;base64,{jpeg}"] * 2]
    assert not {"svg", "script", "object", "iframe", "embed"} & set(Elements(section).tags)
    assert "<script>alert(1)</script>" in words(section)
    assert f"cat or {EVIL}?" in words(section)


def test_a_picture_that_is_gone_is_left_out(clients: Clients) -> None:
    pictures = put_pictures(clients)
    for name in ("classes.svg", "duplicates/00.jpg"):
        clients.storage.delete(f"s3://bucket/report/{name}")
    put_dataset(clients, pictures=pictures)
    section = data_section(clients)
    assert len(sources(section)) == 2
    assert "Pairs that show" not in section
    assert 'class="bar"' in section


@pytest.mark.parametrize(
    "name", ["../evaluation/evaluation.json", "../secret.svg", "/etc/x.svg", "a/b.jpg", "x.html", "contact/.jpg", ""]
)
def test_only_pictures_of_the_report_folder_are_read(clients: Clients, name: str) -> None:
    if name:
        clients.storage.put_bytes(f"s3://bucket/report/{name.lstrip('/')}", SVG)
    clients.storage.put_bytes("s3://bucket/secret.svg", SVG)
    put_dataset(clients, pictures={"classes": [name], "contact": [name], "sizes": name})
    assert collect(clients, ARN).pictures.shown == {}


def test_a_huge_picture_is_not_read(clients: Clients) -> None:
    put_dataset(clients, pictures=put_pictures(clients, **{"sizes.svg": bytes(LARGEST)}))
    assert set(collect(clients, ARN).pictures.shown) == {"classes.svg", "duplicates/00.jpg", "contact/000-cat.jpg"}


def test_pictures_beyond_the_budget_are_counted_and_the_charts_come_first(clients: Clients) -> None:
    names = [f"contact/{number:03d}-c.jpg" for number in range(7)]
    pictures = put_pictures(clients, **dict.fromkeys(names, JPEG + bytes(2**20)))
    put_dataset(clients, pictures={**pictures, "contact": names})
    found = collect(clients, ARN).pictures
    assert list(found.shown) == ["classes.svg", "sizes.svg", "duplicates/00.jpg", *names[:4]]
    assert sum(map(len, found.shown.values())) < BUDGET
    assert found.left_out == names[4:]
    assert "3 more pictures would make this page too large; they lie in s3://bucket/report ." in words(
        data_section(clients)
    )


def test_pictures_of_a_training_job_of_somebody_else_are_not_looked_for(clients: Clients) -> None:
    clients.storage.delete("s3://bucket/report/dataset.json")
    assert collect(clients, ARN).pictures == Pictures()
    assert "<h2>Data</h2>" not in Path(write_report(clients, ARN)).read_text(encoding="utf-8")


def test_sheets_have_the_names_of_their_classes(clients: Clients) -> None:
    names = ["contact/000-cat.jpg", "contact/001-dog.jpg", "contact/099-other.jpg"]
    put_pictures(clients, **dict.fromkeys(names, JPEG))
    put_dataset(clients, pictures={"contact": names})
    captions = re.findall(r"<figcaption>([^<]*)</figcaption>", data_section(clients))
    assert captions == ["cat", "dog", "contact/099-other.jpg"]


@pytest.mark.parametrize(("count", "folded"), [(5, 0), (6, 1)])
def test_more_than_five_files_are_folded(clients: Clients, count: int, folded: int) -> None:
    files = [f"{number}.png" for number in range(count)]
    put_dataset(clients, findings=[{"finding": "unreadable", "action": "drop", "count": count, "files": files}])
    section = data_section(clients)
    assert section.count("<details>") == folded
    assert section.count("<li>") == count
    assert ("6 listed" in words(section)) == bool(folded)


def test_findings_are_told_with_what_the_doctor_knows_of_each_file(clients: Clients) -> None:
    groups = {"groups": [["a.png", "b.png"]], "splits": [["train", "test"]], "moved": 1}
    findings = [
        {"finding": "unreadable", "action": "drop", "count": 1, "files": ["c.png"], "reasons": ["cut short"]},
        {"finding": "odd_sizes", "action": "warn", "count": 1, "files": ["d.png", "e.png"], "sizes": ["9x900"]},
        {"finding": "leaks", "action": "move", "count": 2, **groups},
        {"finding": "conflicting_labels", "count": 2, "groups": [["f.png", "g.png"]], "classes": [["cat", "dog"]]},
        {"finding": "imbalance", "action": "warn", "count": 2, "classes": {"cat": 1200, "dog": 20}, "ratio": 60.0},
        {"finding": "classes_without_pictures", "split": "validation", "classes": ["dog"]},
        {"finding": "duplicates", "action": "warn", "count": 4000, "files": [], "copies": 2000, "left_out": 3000},
        {"finding": "something_new"},
    ]
    put_dataset(clients, findings=findings)
    text = words(data_section(clients))
    for part in (
        *("c.png: cut short", "d.png: 9x900", "e.png", "a.png (train) = b.png (test)", "1 moved"),
        *("f.png (cat) = g.png (dog)", "cat: 1,200", "60 times", "classes without a picture: validation"),
        *("copies: 2,000", "and 3,000 more", "something new"),
    ):
        assert part in text


def test_a_very_long_list_of_files_is_cut(clients: Clients) -> None:
    files = [f"{number}.png" for number in range(2500)]
    put_dataset(clients, findings=[{"finding": "duplicates", "files": files, "left_out": 10}])
    section = data_section(clients)
    assert section.count("<li>") == 1000
    assert "and 1,510 more" in words(section)


@pytest.mark.parametrize(("number", "folded"), [(20, 0), (21, 1)])
def test_counts_of_many_classes_are_folded(clients: Clients, number: int, folded: int) -> None:
    classes = [f"c{each}" for each in range(number)]
    put_dataset(clients, classes=classes, counts={"train": dict.fromkeys(classes, 5)})
    section = data_section(clients)
    assert section.count("<details>") == folded
    assert section.count("<tr><td") == number
    assert f"all {5 * number}" in words(section)


@pytest.mark.parametrize(("used", "shown"), [("balanced", True), ('"balanced"', True), ("none", False), (None, False)])
def test_class_weights_are_shown_where_training_used_them(clients: Clients, used: str | None, shown: bool) -> None:
    put_dataset(clients, class_weights=[0.5, 1.75])
    parameters = {"class_weights": used} if used else {}
    put_archive(clients.storage, "s3://bucket/j/output/output.tar.gz", {"hyperparameters": parameters})
    assert ("1.75" in words(data_section(clients))) == shown


texts = st.lists(st.text(max_size=3), max_size=3)
counted = st.dictionaries(st.text(max_size=3), st.integers(-1, 10**13), max_size=3)
anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | texts | st.lists(texts) | counted
named = {key.removesuffix("?"): anything for key in FINDING if key.endswith("?")}
findings = st.lists(st.fixed_dictionaries({"finding": st.sampled_from(sorted(MEANINGS))}, optional=named), max_size=2)
members = {key.removesuffix("?"): anything for key in DATASET if key != "findings?"}


@given(st.fixed_dictionaries({"findings": findings}, optional=members))
@settings(max_examples=150, deadline=None)
def test_a_dataset_json_of_any_content_is_shown_or_left_out(content: dict[str, Any]) -> None:
    kept = {"dataset": content} if is_ours("dataset", content) else {}
    shown = view(Run({}, Definition(definition()), [], {}, [], kept, {}, []))
    assert bool(shown) == bool(kept)
    assert len(shown.get("findings", ())) == len(content["findings"] if kept else ())


# the model's evaluation


def put_evaluation(clients: Clients, **more: Any) -> None:
    put_json(clients.storage, "s3://bucket/report/evaluation.json", more)


def section(clients: Clients, title: str) -> str:
    page = Path(write_report(clients, ARN)).read_text(encoding="utf-8")
    return page.partition(f"<h2>{title}</h2>")[2].partition("</section>")[0]


def class_row(name: str, difference: float, interval: list[float]) -> dict[str, Any]:
    shares = {"recall": 0.5 + difference, "champion_recall": 0.5}
    return {"class": name, "count": 40, **shares, "difference": difference, "interval": interval}


def test_an_evaluation_of_an_earlier_version_is_shown_without_what_it_lacks(clients: Clients) -> None:
    put_evaluation(clients, accuracy_interval=[0.9, 0.97])
    assert section(clients, "How sure the model may be") == ""
    assert section(clients, "Compared with the champion") == ""


def test_calibration_is_drawn_and_told(clients: Clients) -> None:
    bins = [{"count": 20, "confidence": 0.5 + n / 10, "accuracy": 0.4 + n / 10} for n in range(4)]
    figures = {"temperature": 1.7, "in_the_model": True, "error_before": 0.1, "error_after": 0.02}
    put_evaluation(clients, calibration=figures, reliability={"before": bins, "after": bins[:2]})
    found = section(clients, "How sure the model may be")
    assert "differ by 10.00 % on average" in words(found)
    assert "it is 2.00 %" in words(found)
    assert "temperature of 1.7" in words(found)
    assert "The temperature is in the model" in words(found)
    assert found.count("<circle") == 2 + 4 + 2


def test_calibration_without_bins_is_told_without_a_drawing(clients: Clients) -> None:
    put_evaluation(clients, calibration={"temperature": 1.0, "error_before": math.nan, "error_after": 0.1})
    found = section(clients, "How sure the model may be")
    assert "<svg" not in found
    assert "saved without a temperature" in words(found)


def test_macro_figures_top_5_and_speed_stand_with_the_confusion_matrix(clients: Clients) -> None:
    put_evaluation(clients, macro={"f1": 0.912}, top_5_accuracy=0.9876, pictures_per_second=1234.4)
    text = words(section(clients, "Confusion matrix"))
    assert all(part in text for part in ("91.20 %", "98.76 %", "1,234"))


def test_a_grad_cam_stands_beside_its_picture(clients: Clients) -> None:
    error = {"name": "a.png", "actual": "cat", "predicted": EVIL, "probability": 0.9, "png": "AAAA"}
    errors = [{**error, "gradcam": "BBBB"}, error]
    put_evaluation(clients, worst=errors, gradcam={"layer": EVIL, "size": [4, 4]})
    found = section(clients, "Confusion matrix")
    assert sources(found) == [f"data:image/png;base64,{each}" for each in ("AAAA", "BBBB", "AAAA")]
    assert f"Grad-CAM of {EVIL}" in words(found)


def test_the_champion_is_compared_with_the_largest_loss_first(clients: Clients) -> None:
    rows = [
        class_row("owl", 0.2, [0.1, 0.3]),
        class_row(EVIL, -0.25, [-0.4, -0.1]),
        class_row("cat", -0.01, [-0.1, 0.1]),
    ]
    champion = {**COMPARED, "per_class": rows, "regressions": [EVIL], "classes_new": [EVIL], "left_out": 7}
    put_evaluation(clients, champion=champion)
    found = section(clients, "Compared with the champion")
    text = words(found)
    assert "+1.00 points, 95 % between -2.00 and +4.00" in text
    assert "7 pictures of classes that the champion does not know" in text
    assert text.index("-25.0") < text.index("-1.0") < text.index("+20.0")
    assert re.findall(r'<td class="right (\w*)">([-+.0-9]+)<', found) == [
        ("bad", "-25.0"),
        ("", "-1.0"),
        ("good", "+20.0"),
    ]
    assert "script" not in Elements(found).tags


@pytest.mark.parametrize(("number", "folded"), [(OPEN_CLASSES, 0), (OPEN_CLASSES + 1, 1)])
def test_many_classes_of_a_comparison_are_folded(clients: Clients, number: int, folded: int) -> None:
    rows = [class_row(f"c{each}", 0.0, [-0.1, 0.1]) for each in range(number)]
    put_evaluation(clients, champion={**COMPARED, "per_class": rows})
    found = section(clients, "Compared with the champion")
    assert found.count("<details>") == folded
    assert found.count('<td class="wrap">') == number


@pytest.mark.parametrize(("same", "warned"), [(False, True), (True, False)])
def test_a_champion_of_other_data_is_told_to_be_so(clients: Clients, same: bool, warned: bool) -> None:
    put_evaluation(clients, champion={**COMPARED, "same_data": same})
    assert ("trained on other data" in words(section(clients, "Compared with the champion"))) == warned


def test_a_champion_that_could_not_be_judged_is_told_with_its_reason(clients: Clients) -> None:
    put_evaluation(clients, champion={"compared": False, "reason": EVIL})
    found = section(clients, "Compared with the champion")
    assert f"could not be compared. {EVIL}" in words(found)
    assert "script" not in Elements(found).tags


judgements = {key.removesuffix("?"): anything for key in EVALUATION}
champions = st.fixed_dictionaries({key: anything for key in COMPARED}) | st.fixed_dictionaries({"reason": anything})
shares = st.floats()
fitting = st.fixed_dictionaries({"temperature": shares, "error_before": shares, "error_after": shares})
spots = st.lists(st.fixed_dictionaries({"count": st.integers(0, 9), "confidence": shares, "accuracy": shares}))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            **judgements,
            "champion": champions | st.just(COMPARED),
            "calibration": fitting,
            "reliability": st.fixed_dictionaries({}, optional={"before": spots, "after": spots}),
        },
    )
)
@settings(max_examples=150, deadline=None)
def test_an_evaluation_json_of_any_content_is_shown_or_left_out(content: dict[str, Any]) -> None:
    kept = content if is_ours("evaluation", content) else {}
    shown = judge(kept)
    assert ("champion" in shown) == ("champion" in kept)
    assert ("calibration" in shown) == ("calibration" in kept)


# the picture of the steps


def boxes(svg: str) -> dict[str, tuple[int, int]]:
    found = re.findall(r'<rect x="(\d+)" y="(\d+)".*?class="name"[^>]*>([^<]+)<', svg)
    return {name: (int(x), int(y)) for x, y, name in found}


def test_a_step_is_drawn_right_of_all_that_it_waits_for() -> None:
    document = definition(("C", "A"), ("C", "B"), ("D", "C"), ("D", "A"), D="Fail", C="Fail", B="Fail", A="Fail")
    places = boxes(draw(Definition(document), {}, {}))
    assert places["A"][0] == places["B"][0] < places["C"][0] < places["D"][0]
    assert len(set(places.values())) == 4


def test_an_arrow_that_others_imply_is_left_out() -> None:
    document = definition(("B", "A"), ("C", "B"), ("C", "A"), A="Fail", B="Fail", C="Fail")
    assert draw(Definition(document), {}, {}).count('class="edge"') == 2


def test_the_branches_of_a_condition_are_named() -> None:
    document = definition(Check="Condition")
    inner = definition(Yes="Fail", No="Fail")["Steps"]
    document["Steps"][0]["Arguments"] = {"Conditions": [], "IfSteps": inner[:1], "ElseSteps": inner[1:]}
    svg = draw(Definition(document), {}, {})
    places = boxes(svg)
    assert ">yes<" in svg
    assert ">no<" in svg
    assert places["Yes"][1] < places["No"][1]


@pytest.mark.parametrize("count", [0, 61])
def test_no_picture_is_drawn_of_nothing_and_of_too_much(count: int) -> None:
    assert draw(Definition(definition(**{f"S{n}": "Fail" for n in range(count)})), {}, {}) == ""


def test_a_cycle_does_not_hang_the_picture() -> None:
    assert boxes(draw(Definition(definition(("A", "B"), ("B", "A"), A="Fail", B="Fail")), {}, {})).keys() == {"A", "B"}


# charts

places = st.floats(min_value=-1e9, max_value=1e9)


@given(st.lists(st.tuples(places, places), min_size=1, max_size=20), st.sampled_from(["line", "dots", "steps"]))
def test_every_point_lies_inside_the_chart(points: list[tuple[float, float]], style: str) -> None:
    svg = chart([Series("s", points, style)], "x", "y", log_x=True)
    numbers = [float(text) for text in re.findall(r'c[xy]="([^"]*)"', svg)]
    assert all(0 <= value <= 420 for value in numbers)
    assert len(numbers) == 2 * len(points)


def test_points_that_are_not_numbers_are_left_out() -> None:
    points = [(1.0, math.nan), (2.0, 0.5), (3.0, math.inf)]
    assert chart([Series("s", points, "dots")], "x", "y").count("<circle") == 1
    assert chart([Series("s", points[:1])], "x", "y") == ""


def test_a_logarithmic_axis_has_a_tick_for_each_decade() -> None:
    svg = chart([Series("lr", [(1e-4, 0.1), (1e-1, 0.2)], "dots")], "lr", "y", log_x=True)
    assert all(f">{label}<" in svg for label in ("0.0001", "0.001", "0.01", "0.1"))


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.97, "0.97"), (12.0, "12"), (1e-5, "1e-05"), (123456.0, "123456"), (-0.5, "-0.5")]
)
def test_numbers_are_as_short_as_they_can_be(value: float, text: str) -> None:
    assert number(value) == text
