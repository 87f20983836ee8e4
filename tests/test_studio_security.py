"""Who may ask the studio, and what a browser may do with its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from reported import EVIL, nothing_came_of_it
from starlette.responses import Response
from starlette.types import Message
from studios import EXECUTION, SECRET, Visitor, hostile_studio

from pipeline.studio.security import Guard, form_token, may_act

PAGES = (
    "/",
    "/pipelines/digits",
    "/pipelines/digits/start",
    EXECUTION,
    f"{EXECUTION}/steps/Publish",
    f"{EXECUTION}/steps/Publish/log",
)


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    with hostile_studio(tmp_path_factory.mktemp("home")) as found:
        yield found


def test_the_token_of_the_address_becomes_a_cookie_and_leaves_the_address(visitor: Visitor) -> None:
    entered = visitor.get(f"/pipelines/digits?next=x&token={SECRET}", Cookie="")
    assert (entered.status, entered.headers["location"]) == (303, "/pipelines/digits?next=x")
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert SECRET not in entered.headers["location"]


def test_a_link_out_of_another_page_is_led_on_by_a_page_of_the_studio(visitor: Visitor) -> None:
    """After a redirect that another site began, browsers keep a strict cookie back."""
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    entered = visitor.get(f"/pipelines/digits?next=a%22b&token={SECRET}", Cookie="", **foreign)
    assert entered.status == 200 and "samesite=strict" in entered.headers["set-cookie"].lower()
    assert 'content="0;url=/pipelines/digits?next=a%22b"' in entered.text and SECRET not in entered.text


def test_an_address_with_two_slashes_leads_to_no_other_host(visitor: Visitor) -> None:
    assert visitor.get(f"//evil.example/?token={SECRET}", Cookie="").headers["location"] == "/evil.example/"


@pytest.mark.parametrize("other", ('prefs={"a": 1}', "a=b c", "a/b@[c]=1", "=", "a"))
def test_a_cookie_of_another_program_keeps_nobody_out(visitor: Visitor, other: str) -> None:
    assert visitor.get("/", Cookie=f"{other}; darkroom-studio-{visitor.port}={SECRET}").status == 200


@pytest.mark.parametrize(
    "cookie", ("", "darkroom-studio-1=" + SECRET, "darkroom-studio-{port}=wrong", "a=\x80; darkroom-studio-{port}=ü")
)
@pytest.mark.parametrize("path", ("/", "/static/style.css", "/nowhere", "/?token=wrong", "/?token=%C3%BC"))
def test_nobody_without_the_token_learns_anything(visitor: Visitor, cookie: str, path: str) -> None:
    said = visitor.get(path, Cookie=cookie.format(port=visitor.port))
    assert said.status == 401
    assert "darkroom studio" in said.text and EVIL not in said.text


@pytest.mark.parametrize("host", ("evil.example", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}"))
def test_another_name_for_the_address_is_refused(visitor: Visitor, host: str) -> None:
    assert visitor.get("/", Host=host.format(port=visitor.port)).status == 421


@pytest.mark.parametrize(
    "origin", ("http://evil.example", "null", "http://localhost:{port}", "https://127.0.0.1:{port}")
)
def test_another_page_of_the_same_browser_is_refused(visitor: Visitor, origin: str) -> None:
    assert visitor.get("/", Origin=origin.format(port=visitor.port)).status == 403


def test_what_changes_something_has_to_come_from_the_studios_own_pages(visitor: Visitor) -> None:
    own = {"Origin": visitor.url}
    assert visitor.ask("POST", "/").status == 403
    assert visitor.ask("POST", "/", **own, Sec_Fetch_Site="cross-site").status == 403
    assert visitor.ask("POST", "/", **own, Cookie="").status == 401
    assert visitor.ask("POST", "/", **own).status == 405  # only now does the application see it


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_pages_of_other_servers_may_lead_here_and_load_nothing(visitor: Visitor, site: str) -> None:
    """One on another port of this machine is of the same site: the cookie comes along."""
    loads = [("no-cors", "empty"), ("no-cors", "script"), ("navigate", "iframe"), ("cors", "document")]
    for mode, what in loads:
        said = visitor.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode=mode, Sec_Fetch_Dest=what)
        assert (said.status, "load nothing of it" in said.text) == (403, True)
    assert visitor.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document").status == 200
    for own in ("same-origin", "none"):
        assert visitor.get("/", Sec_Fetch_Site=own, Sec_Fetch_Mode="no-cors", Sec_Fetch_Dest="style").status == 200


@pytest.mark.parametrize(
    ("port", "host", "status"),
    [(80, "127.0.0.1", 204), (80, "localhost:80", 204), (8476, "127.0.0.1", 421), (80, "evil.example", 421)],
)
def test_browsers_leave_the_port_of_http_out(port: int, host: str, status: int) -> None:
    assert asyncio.run(answered(port, "GET", host=host)) == status
    assert asyncio.run(answered(port, "POST", host=host, origin=f"http://{host}")) == status


async def answered(port: int, method: str, **headers: str) -> int:
    """The status that a studio on this port gives whoever has its cookie: one that may not be had here."""
    given = {"cookie": f"darkroom-studio-{port}={SECRET}", **headers}
    lines = [(name.encode(), value.encode()) for name, value in given.items()]
    scope = {"type": "http", "method": method, "path": "/", "query_string": b"", "headers": lines}
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    await Guard(Response(status_code=204), SECRET, port)(scope, receive, send)
    return int(sent[0]["status"])


def test_the_token_of_forms_opens_no_page_and_is_not_guessed(visitor: Visitor) -> None:
    token = form_token(SECRET)
    assert may_act(SECRET, token)
    assert not any(may_act(SECRET, other) for other in ("", SECRET, token[:-1], form_token("other"), "ü"))
    assert visitor.get(f"/?token={token}", Cookie="").status == 401


@pytest.mark.parametrize("path", (*PAGES, "/nowhere", "/static/nothing"))
def test_every_page_forbids_scripts_of_others_frames_and_copies(visitor: Visitor, path: str) -> None:
    said = visitor.get(path)
    policy = dict(part.strip().split(" ", 1) for part in said.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert said.headers["x-content-type-options"] == "nosniff"
    assert said.headers["cache-control"] == "no-store"
    assert "server" not in said.headers


@pytest.mark.parametrize("path", PAGES)
def test_names_reasons_and_logs_with_html_in_them_are_shown(visitor: Visitor, path: str) -> None:
    said = visitor.get(path)
    assert said.status == 200
    assert nothing_came_of_it(said.text)
    assert "&lt;script&gt;alert(1)" in said.text


def test_an_address_with_html_in_it_is_shown_alone(visitor: Visitor) -> None:
    for path in (f"/{quote(EVIL)}", f"/?next={quote(EVIL)}", f"{EXECUTION}/steps/{quote(EVIL, safe='')}"):
        assert nothing_came_of_it(visitor.get(path).text)


def test_a_report_is_shown_in_a_sandbox(visitor: Visitor) -> None:
    said = visitor.get(f"{EXECUTION}/report")
    assert said.status == 200 and "<h2>Steps</h2>" in said.text
    policy = said.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts;") and "allow-same-origin" not in policy
