"""The studio on a port of its own, and somebody who asks it over HTTP; a service whose every word is hostile."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from reported import ARN, EVIL, Elements, FakeSageMaker, at, finished_run, words

from pipeline.client import Clients, Hosting
from pipeline.studio import server
from pipeline.studio.app import application
from pipeline.studio.asked import Studio
from pipeline.studio.live import Streams
from pipeline.studio.security import form_token

SECRET = "s" * 43
EXECUTION = "/pipelines/digits/executions/abc123"

Headers = dict[str, str]


@dataclass(frozen=True)
class Said:
    status: int
    headers: Headers
    text: str


@dataclass(frozen=True)
class Visitor:
    """Asks one studio, with its cookie unless told otherwise."""

    port: int
    streams: Streams | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def entry(self) -> str:
        """What `darkroom studio` prints."""
        return f"{self.url}/?token={SECRET}"

    def get(self, path: str, **headers: str) -> Said:
        return self.ask("GET", path, **headers)

    def page(self, path: str) -> str:
        """Its HTML; it has to be there."""
        said = self.get(path)
        assert said.status == 200, words(said.text)
        return said.text

    def send(self, path: str, **fields: str) -> Said:
        """A form of one of the studio's own pages."""
        body = urlencode(
            {"token": form_token(SECRET), **{name.replace("__", "."): each for name, each in fields.items()}}
        )
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.url}
        return self.ask("POST", path, body.encode(), **kind)

    @contextmanager
    def following(self, path: str) -> Iterator[Iterator[tuple[str, str]]]:
        """Events of a stream, each its kind and what it says, until it ends."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", f"{path}/events", headers=self._cookie())
            answer = connection.getresponse()
            assert (answer.status, answer.headers.get_content_type()) == (200, "text/event-stream")
            yield _events(answer)
        finally:
            connection.close()

    def _cookie(self) -> Headers:
        return {"Cookie": f"darkroom-studio-{self.port}={SECRET}"}

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Said:
        given = self._cookie() | {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return Said(answer.status, dict(answer.getheaders()), answer.read().decode())
        finally:
            connection.close()


def links(html: str) -> list[str]:
    return [str(value) for name, value in Elements(html).attributes if name == "href"]


def _events(answer: http.client.HTTPResponse) -> Iterator[tuple[str, str]]:
    while head := answer.readline().decode().strip():
        data = answer.readline().decode().removeprefix("data: ")
        answer.readline()
        yield head.removeprefix("event: "), json.loads(data)


def no_hosting() -> AbstractContextManager[Hosting]:
    raise AssertionError("this studio has no endpoints")


@contextmanager
def serving(
    connect: Callable[[], AbstractContextManager[Clients]],
    hosting: Callable[[], AbstractContextManager[Hosting]] = no_hosting,
    **more: Any,
) -> Iterator[Visitor]:
    opened = server.listening(0)
    port = opened.getsockname()[1]
    made = application(Studio(connect, hosting, SECRET, port, **more))
    running = server.server(made)
    running.config.timeout_graceful_shutdown = 60  # a look may take long on a busy machine
    thread = threading.Thread(target=running.run, kwargs={"sockets": [opened]}, name="studio")
    thread.start()
    try:
        yield Visitor(port, made.state.streams)
    finally:
        running.should_exit = True
        thread.join(120)
        opened.close()
        assert not thread.is_alive(), "the studio did not end"


@contextmanager
def hostile_studio(folder: Path) -> Iterator[Visitor]:
    """In which every name and every line is hostile."""
    clients = finished_run(folder)
    service = Hostile(Path(clients.home) / "Publish.log")
    with serving(lambda: nullcontext(clients._replace(sagemaker=service, runtime=service))) as found:
        yield found


class Hostile(FakeSageMaker):
    """reported.py's run, with what the studio asks beyond it; a pipeline and its versions as hostile."""

    def describe_pipeline_execution(self, PipelineExecutionArn: str) -> dict[str, Any]:
        return {**super().describe_pipeline_execution(PipelineExecutionArn), "LastModifiedTime": at(11)}

    def list_pipelines(self, **_: Any) -> dict[str, Any]:
        row = {"PipelineName": EVIL, "PipelineDescription": EVIL, "LastModifiedTime": at(0)}
        return {"PipelineSummaries": [row], "NextToken": EVIL}

    def describe_pipeline(self, **_: Any) -> dict[str, Any]:
        document = json.loads(self.describe_pipeline_definition_for_execution()["PipelineDefinition"])
        choice = {"Name": "Choice", "Type": "String", "DefaultValue": EVIL, "EnumValues": [EVIL, "x"]}
        document["Parameters"] += [{"Name": EVIL, "Type": EVIL, "DefaultValue": EVIL}, choice]
        definition = {"PipelineDefinition": json.dumps(document)}
        return {"PipelineArn": ARN.partition("/execution/")[0], "PipelineDescription": EVIL, **definition}

    def list_pipeline_executions(self, **_: Any) -> dict[str, Any]:
        row = {
            "PipelineExecutionArn": f"{ARN.rpartition('/')[0]}/{EVIL.replace('/', '')}",
            "PipelineExecutionStatus": EVIL,
            "StartTime": at(0),
            "PipelineExecutionFailureReason": f"{EVIL}\nmore",
        }
        return {"PipelineExecutionSummaries": [row], "NextToken": EVIL}

    def list_pipeline_versions(self, **_: Any) -> dict[str, Any]:
        words = ("PipelineVersionDisplayName", "PipelineVersionDescription", "LastExecutionPipelineExecutionArn")
        row = {"PipelineVersionId": 1, "PipelineArn": ARN, "CreationTime": at(0), **dict.fromkeys(words, EVIL)}
        return {"PipelineVersionSummaries": [{**row, "PipelineVersionAliases": [EVIL]}]}
