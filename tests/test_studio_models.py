"""The studio's pages of the registry: models as somebody has to see them who decides, and his decision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from registered import GROUP, Registered, against, evaluated
from reported import EVIL, nothing_came_of_it, words
from studios import Visitor, links, serving

from pipeline.client import Clients, local_session

ONE, TWO = f"/models/{GROUP}/1", f"/models/{GROUP}/2"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """Two models, the second compared with the first when it was judged, which nobody has decided about."""
    made = Registered(tmp_path_factory.mktemp("home"))
    made.add(evaluated(0.9))
    made.add(evaluated(0.92, owl=0.7, champion=against(made.package(1)["ModelPackageArn"])), code="1" * 16, lr="0.1")
    return made


@pytest.fixture(scope="module")
def visitor(home: Registered) -> Iterator[Visitor]:
    with serving(partial(local_session, home.home)) as found:
        yield found


@pytest.fixture
def pending(home: Registered) -> Iterator[None]:
    """Of both models."""
    for version in (1, 2):
        home.decide(version, "PendingManualApproval", ApprovalDescription="")
    yield


def test_groups_and_versions_lead_to_models(visitor: Visitor, pending: None) -> None:
    assert {f"/models/{GROUP}", TWO} <= set(links(visitor.page("/models")))
    html = visitor.page(f"/models/{GROUP}")
    assert [link for link in links(html) if link.startswith("/models/digits/")] == [TWO, ONE]
    assert "version 2 PendingManualApproval 0.9200 version 1: +0.0200, better" in words(html)


def test_a_model_has_its_figures_classes_and_where_it_came_from(visitor: Visitor, home: Registered) -> None:
    html = visitor.page(TWO)
    told = words(html)
    assert "accuracy 0.9200 (95 %: 0.8900 to 0.9400) on 360 pictures" in told
    assert "+0.0200 (95 %: +0.0100 to +0.0300), better" in told
    assert told.index("owl 120 0.7000") < told.index("dog 120 0.9000") < told.index("cat 120 0.9500")
    assert "lr 0.1" in told and " train.py train-1111111111111111" in told and "Nowhere." in told
    execution = home.package(2)["CustomerMetadataProperties"]["execution"].rpartition("/")[2]
    assert f"/pipelines/digits/executions/{execution}/report" in links(html)
    assert "accuracy 0.9200 champion version 1: +0.0200, better" in words(
        visitor.page(f"/pipelines/digits/executions/{execution}")
    )


def test_an_approval_has_its_note(visitor: Visitor, home: Registered, pending: None) -> None:
    said = visitor.send(f"{ONE}/decide", decision="approve", seen="PendingManualApproval", reason=f" fine\n{EVIL} ")
    assert (said.status, said.headers["location"]) == (303, ONE)
    package = home.package(1)
    assert (package["ModelApprovalStatus"], package["ApprovalDescription"]) == ("Approved", f"fine {EVIL}")
    html = visitor.page(ONE)
    assert f"Note: fine {EVIL}" in words(html) and nothing_came_of_it(html)


def test_a_model_says_how_it_comes_to_an_endpoint(visitor: Visitor, home: Registered, pending: None) -> None:
    assert "Nowhere. Once it is approved, it can be put behind the endpoint for production." in words(visitor.page(ONE))
    home.decide(1, "Approved")
    told = words(visitor.page(ONE))
    assert (
        f"It is approved. To put it behind the endpoint for production, type: darkroom deploy 1 --group {GROUP}" in told
    )
    home.decide(1, "Rejected")
    assert "darkroom deploy" not in words(visitor.page(ONE))


def test_a_rejection_needs_a_note_and_keeps_what_was_entered(visitor: Visitor, home: Registered, pending: None) -> None:
    said = visitor.send(f"{ONE}/decide", decision="reject", seen="PendingManualApproval", reason="  ")
    assert said.status == 422 and "without a reason helps nobody" in words(said.text)
    long = "a" * 1025
    said = visitor.send(f"{ONE}/decide", decision="reject", seen="PendingManualApproval", reason=long)
    assert said.status == 422 and f">{long}</textarea>" in said.text
    assert home.package(1)["ModelApprovalStatus"] == "PendingManualApproval"


def test_a_decision_about_what_somebody_else_decided_meanwhile_is_not_made(
    visitor: Visitor, home: Registered, pending: None
) -> None:
    home.decide(1, "Rejected", ApprovalDescription="leaks")
    said = visitor.send(f"{ONE}/decide", decision="approve", seen="PendingManualApproval")
    assert said.status == 409 and "It is Rejected since" in words(said.text) and "Note: leaks" in words(said.text)
    assert home.package(1)["ModelApprovalStatus"] == "Rejected"
    assert visitor.send(f"{ONE}/decide", decision="approve", seen="Rejected", reason="mended").status == 303
    assert home.package(1)["ModelApprovalStatus"] == "Approved"


def test_a_note_of_what_is_approved_already_sends_no_second_approval(
    visitor: Visitor, home: Registered, pending: None
) -> None:
    home.decide(1, "Approved", ApprovalDescription="first")
    with serving(partial(_counting, home, calls := [])) as watched:
        assert watched.send(f"{ONE}/decide", decision="approve", seen="Approved", reason="second").status == 303
    assert calls == [{"ApprovalDescription"}]
    assert home.package(1)["ApprovalDescription"] == "second"


def test_a_note_goes_only_by_another_one(visitor: Visitor, home: Registered, pending: None) -> None:
    home.decide(1, "Approved", ApprovalDescription="fine & fast")
    assert ">fine &amp; fast</textarea>" in visitor.page(ONE)
    with serving(partial(_counting, home, calls := [])) as watched:
        for reason in ("", "fine & fast"):
            assert watched.send(f"{ONE}/decide", decision="approve", seen="Approved", reason=reason).status == 303
    assert calls == []
    said = visitor.send(f"{ONE}/decide", decision="reject", seen="Approved", reason="fine & fast")
    assert said.status == 422 and "write why it is rejected now" in words(said.text)
    package = home.package(1)
    assert (package["ModelApprovalStatus"], package["ApprovalDescription"]) == ("Approved", "fine & fast")


class _Counting:
    """Writes down which members an update of a package has."""

    def __init__(self, service: Any, calls: list[set[str]]) -> None:
        self._service, self._calls = service, calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def update_model_package(self, **request: Any) -> Any:
        self._calls.append(set(request) - {"ModelPackageArn"})
        return self._service.update_model_package(**request)


@contextmanager
def _counting(home: Registered, calls: list[set[str]]) -> Iterator[Clients]:
    with local_session(home.home) as clients:
        yield clients._replace(sagemaker=_Counting(clients.sagemaker, calls))


def test_what_is_no_decision_decides_nothing(visitor: Visitor, home: Registered, pending: None) -> None:
    assert visitor.send(f"{ONE}/decide", decision=EVIL, seen="PendingManualApproval").status == 400
    assert visitor.send(f"{ONE}/decide", decision="approve", seen="PendingManualApproval", token="x").status == 403
    assert home.package(1)["ModelApprovalStatus"] == "PendingManualApproval"


def test_two_models_are_compared(visitor: Visitor, home: Registered, pending: None) -> None:
    told = words(visitor.page(f"{TWO}/compare?with=1"))
    assert "Both were judged on the same 360 test pictures" in told
    assert "Picture by picture: +0.0200 (95 %: +0.0100 to +0.0300), better." in told
    assert "accuracy 0.9200 0.9000 +0.0200" in told and "owl 0.7000 0.8000 -0.1000" in told
    assert "lr 0.1 –" in told and "train.py changed: train.py" in told and "train.py.py" not in told


def test_without_another_version_the_champion_is_compared(visitor: Visitor, home: Registered, pending: None) -> None:
    said = visitor.get(f"{TWO}/compare")
    assert said.status == 400 and "no other version of digits is approved" in words(said.text)
    home.decide(1, "Approved")
    assert "Version 2 against version 1" in words(visitor.page(f"{TWO}/compare"))
    assert f"{TWO}/compare?with=1" in links(visitor.page(TWO))
    assert visitor.get(f"{ONE}/compare?with=1").status == 400


def test_the_models_own_page_may_do_nothing(visitor: Visitor, home: Registered) -> None:
    assert visitor.get(f"{ONE}/page").status == 400
    home.client.storage.put_bytes("s3://test-bucket/own/model.html", b"<h1>mine</h1><script>alert(1)</script>")
    home.client.create_model_package_group(ModelPackageGroupName="paged")
    specification = {
        "Containers": [{"Image": "serve:1", "ModelDataUrl": "s3://test-bucket/m"}],
        "SupportedContentTypes": ["image/png"],
        "SupportedResponseMIMETypes": ["application/json"],
    }
    properties = {"page": "s3://test-bucket/own/model.html", "architecture": EVIL}
    home.client.create_model_package(
        ModelPackageGroupName="paged", InferenceSpecification=specification, CustomerMetadataProperties=properties
    )
    assert "/models/paged/1/page" in links(visitor.page("/models/paged/1"))
    said = visitor.get("/models/paged/1/page")
    assert said.text.startswith("<h1>mine</h1>")
    assert said.headers["content-security-policy"].startswith("sandbox; default-src 'none'; style-src")
    assert "script-src" not in said.headers["content-security-policy"]


def test_names_of_classes_with_html_in_them_are_shown(tmp_path: Path) -> None:
    made = Registered(tmp_path)
    report = evaluated()
    report["darkroom"]["per_class"][0]["class"] = EVIL
    made.add(report)
    with serving(partial(local_session, made.home)) as visitor:
        html = visitor.page(ONE)
    assert EVIL in words(html) and nothing_came_of_it(html)


@pytest.mark.parametrize(
    ("path", "named"),
    (("none", "none"), ("none/1", "none"), ("digits/99", "digits/99"), ("digits/x", "digits/x")),
)
def test_what_there_is_not_is_named(visitor: Visitor, path: str, named: str) -> None:
    """SageMaker, too, calls it a ValidationException."""
    said = visitor.get(f"/models/{path}")
    assert said.status == 400 and f"{named} does not exist" in words(said.text)
