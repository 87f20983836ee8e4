"""What the studio's pages say of executions on this machine, and of the same ones through boto3."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from local_pipelines import Local, document, output_of, processing
from reported import EVIL, words
from studios import Visitor, links, serving

from pipeline.client import aws_client, local_session
from pipeline.local.server import LoopbackServer
from pipeline.studio import logs

ROOT = Path(__file__).parent.parent
PARAMETERS = [{"Name": "Epochs", "Type": "Integer", "DefaultValue": 2}, {"Name": "Word", "Type": "String"}]


def reader() -> dict[str, object]:
    """Waits for what First wrote; then the pipeline fails."""
    step = processing("Second", "say", "reads", "fail", "3")
    step["Arguments"]["ProcessingInputs"].append(
        {
            "InputName": "made",
            "AppManaged": False,
            "S3Input": {
                "S3Uri": output_of("First", "out"),
                "LocalPath": "/opt/ml/processing/input/made",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }
    )
    return step


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def failed(home: Path) -> str:
    """Id of an execution whose first step came from the cache, whose second failed, and whose third never ran."""
    local = Local(home)
    lines = "\n".join(f"line {number} {EVIL}" for number in range(1, 1301))
    first = processing(
        "First", "say", lines, "write", "/opt/ml/processing/output/out/a", "1", outputs=["out"], cache=True
    )
    third = processing("Third", DependsOn=["Second"])
    definition = document(first, reader(), third, parameters=PARAMETERS)
    given = [{"Name": "Word", "Value": "bye"}]
    for _ in range(2):
        ended = local.run(definition, name="steps", PipelineParameters=given)
    assert ended["PipelineExecutionStatus"] == "Failed"
    return str(ended["PipelineExecutionArn"]).rpartition("/")[2]


@pytest.fixture(scope="module")
def visitor(home: Path, failed: str) -> Iterator[Visitor]:
    with serving(partial(local_session, str(home))) as found:
        yield found


def rows(html: str, section: str) -> list[str]:
    """Each row of a table in this section, its words in one line."""
    body = html.partition(f'<section id="{section}">')[2].partition("</section>")[0]
    return [words(row) for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)][1:]


def test_the_first_page_leads_to_each_pipeline_and_its_last_execution(visitor: Visitor, failed: str) -> None:
    html = visitor.page("/")
    assert {"/pipelines/steps", f"/pipelines/steps/executions/{failed}"} <= set(links(html))
    assert "steps Failed" in words(html)


def test_a_pipeline_has_its_executions_and_versions(visitor: Visitor, failed: str) -> None:
    html = visitor.page("/pipelines/steps")
    listed = rows(html, "executions")
    assert len(listed) == 2 and listed[0].strip().startswith(f"{failed} Failed")
    assert [row.split()[0] for row in rows(html, "versions")] == ["1"]


def test_an_execution_has_its_steps_with_cache_hits_and_why_it_failed(visitor: Visitor, failed: str) -> None:
    html = visitor.page(f"/pipelines/steps/executions/{failed}")
    first, second, third = rows(html, "steps")
    assert re.match(r" ?First Processing Succeeded hit", first)
    assert re.match(r" ?Second Processing Failed .*(ms|s) .*exit code: 3", second)
    assert re.match(r" ?Third not run", third)
    assert words(html).count("exit code: 3") == 2  # of the step, and of the execution


def test_the_graph_leads_to_steps_that_began(visitor: Visitor, failed: str) -> None:
    html = visitor.page(f"/pipelines/steps/executions/{failed}")
    drawn = html.partition("<svg")[2].partition("</svg>")[0]
    assert links(drawn) == [f"/pipelines/steps/executions/{failed}/steps/{name}" for name in ("First", "Second")]
    assert re.findall(r'class="node ([^"]*)"', drawn) == ["good hit", "bad", "waiting"]


def test_parameters_are_told_with_the_default_where_it_is_another_one(visitor: Visitor, failed: str) -> None:
    told = [row.split() for row in rows(visitor.page(f"/pipelines/steps/executions/{failed}"), "parameters")]
    assert told == [["Epochs", "2"], ["Word", "bye"]]


def test_a_step_has_the_end_of_its_log_and_what_it_reads_and_writes(visitor: Visitor, failed: str) -> None:
    first = visitor.page(f"/pipelines/steps/executions/{failed}/steps/First")
    second = visitor.page(f"/pipelines/steps/executions/{failed}/steps/Second")
    assert "s3://test-bucket/" in words(first).partition("Outputs out")[2].partition("Settings")[0]
    assert "/First/out" in words(second).partition("Inputs code")[2].partition("Settings")[0]
    assert "reads" in words(second).partition("its end:")[2] and "exit code: 3" in words(second)


def test_a_log_is_read_page_by_page_and_what_is_html_in_it_is_text(visitor: Visitor, home: Path, failed: str) -> None:
    before = [arn for arn in links(visitor.page("/pipelines/steps")) if "/executions/" in arn]
    (earlier,) = {each for each in before if not each.endswith(failed)}
    html = visitor.page(f"{earlier}/steps/First/log")
    assert words(html).count(EVIL) == logs.LINES and "page 1 of 2" in words(html)
    assert f"{earlier}/steps/First/log?file=1&page=2" in links(html)
    last = visitor.page(f"{earlier}/steps/First/log?page=2")
    assert f"1300 line 1300 {EVIL}" in words(last) and "line 1000 " not in words(last)
    assert words(visitor.page(f"{earlier}/steps/First")).partition("Inputs code")[0].count(EVIL) == logs.TAIL


def test_of_a_long_log_the_end_is_shown_and_how_to_have_all_of_it(visitor: Visitor, home: Path, failed: str) -> None:
    page = f"/pipelines/steps/executions/{failed}/steps/Second/log"
    assert "the last" not in words(visitor.page(page))
    (path,) = home.glob(f"**/{failed}/**/Second.log")
    before = path.read_bytes()
    try:
        path.write_text("".join(f"number {number}\n" for number in range(logs.MOST_LINES + 5)))
        told = words(visitor.page(page))
    finally:
        path.write_bytes(before)
    assert f"the last 20,000 lines, page 1 of 20; darkroom logs {failed} Second prints those before" in told
    assert "1 number 5 " in told and "number 4 " not in told


@pytest.mark.parametrize(
    ("path", "status", "why"),
    (
        ("/pipelines/other", 404, "other"),
        ("/pipelines/steps/executions/none", 404, "none"),
        ("/pipelines/steps/executions/{failed}/steps/Secnod", 400, "did you mean 'Second'"),
        ("/pipelines/steps/executions/{failed}/steps/Second/log?file=2", 400, "no log 2"),
        ("/pipelines/steps/executions/{failed}/steps/Second/log?page=-1", 400, "'-1'"),
        ("/pipelines/steps?next=invented", 400, "invented"),
        ("/somewhere", 404, "/somewhere"),
    ),
)
def test_what_there_is_not_is_named(visitor: Visitor, failed: str, path: str, status: int, why: str) -> None:
    said = visitor.get(path.format(failed=failed))
    assert said.status == status
    assert why in words(said.text)


def test_executions_come_in_pages(home: Path, visitor: Visitor, failed: str) -> None:
    local = Local(home)
    name = local.create(document(processing("Only")), "many")
    for number in range(101):
        local.client.store.execute(
            "INSERT INTO executions VALUES (?,?,?,1,'Succeeded',?,?,?,'',0,'{}',0,?)",
            *(f"id{number:03}", f"arn:aws:sagemaker:us-east-1:1:pipeline/{name}/execution/id{number:03}", name),
            *(
                1e9 + number,
                1e9 + number,
                1e9 + number,
                json.dumps(dict.fromkeys(("PipelineExecutionDisplayName", "PipelineExecutionDescription"), "")),
            ),
        )
    seen, path = [], "/pipelines/many"
    for _ in range(3):
        html = visitor.page(path)
        seen += [row.split()[0] for row in rows(html, "executions")]
        (path,) = [link for link in links(html) if "next=" in link] or [""]
    assert path == ""
    assert seen == [f"id{number:03}" for number in reversed(range(101))]


def test_through_boto3_the_pages_are_the_same(
    server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with --target aws, where one client serves all threads."""
    local = Local(Path(server.home))
    ended = local.run(document(processing("Only", "say", "heard")), name="far")
    for name, value in {"AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(name, value)
    clients = aws_client(str(tmp_path), "us-east-1")
    place = f"/pipelines/far/executions/{ended['PipelineExecutionArn'].rpartition('/')[2]}"
    with serving(lambda: nullcontext(clients), place=clients.place) as visitor:
        assert "us-east-1" in words(visitor.page("/"))
        assert "Only Processing Succeeded" in words(visitor.page(place))
        assert "heard" in words(visitor.page(f"{place}/steps/Only"))


def test_a_wheel_has_all_that_pages_are_made_of() -> None:
    builder = WheelBuilder(str(ROOT))
    packed = {file.distribution_path for file in builder.recurse_included_files()}
    needed = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pipeline" / "studio").glob("*/*.*")}
    needed = {path for path in needed if "__pycache__" not in path}
    assert {f"pipeline/studio/{name}" for name in ("templates/base.html", "static/studio.css")} < needed <= packed


def test_the_table_of_the_benchmark_has_the_pages_that_it_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    named = runpy.run_path(str(ROOT / "benchmarks" / "studio.py"))["pages"]("", "")
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| ([^|]+) \|", text.partition("## The studio's pages\n")[2].partition("\n## ")[0], re.MULTILINE
    )
    assert rows == ["page", *named]
