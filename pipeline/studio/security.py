"""Who may ask: a browser of this machine that was given the printed address, and pages of the studio alone.

The address has a token, which becomes a cookie: other users of the machine reach the port as well. Host is checked
against DNS rebinding, Origin and Sec-Fetch-Site against other pages of the same browser.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from html import escape
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN, TOKEN_HEADER = "token", "X-Studio-Token"
HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
HTTP_PORT = 80  # which browsers leave out of Host and Origin
READING = ("GET", "HEAD")
# Styles of elements are numbers of drawings (a bar's width); no script, style sheet or picture comes from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline';"
    " img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # with no-referrer a form would be sent with Origin: null
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Around the application: what may not be asked does not reach it, and every answer has HEADERS."""

    def __init__(self, app: ASGIApp, secret: str, port: int) -> None:
        self.app = app
        self.secret = secret
        self.cookie = f"darkroom-studio-{port}"  # cookies know no ports: two studios would take each other's
        self.hosts = frozenset((*(f"{name}:{port}" for name in NAMES), *(NAMES if port == HTTP_PORT else ())))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # there are no web sockets

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(scope) or self._entry(scope)
        await (answer or self.app)(scope, receive, protected)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self.hosts:
            return PlainTextResponse(f"Host {host[:100]!r} is not this server\n", 421)
        if origin is not None and origin != f"http://{host}":
            return PlainTextResponse(f"Origin {origin[:100]!r} may not ask this server\n", 403)
        if scope["method"] in READING:
            words = "pages of other servers may lead to this one, and load nothing of it\n"
            return None if _leads_here(headers) else PlainTextResponse(words, 403)
        if origin is None or headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return PlainTextResponse("only pages of this server may change something\n", 403)
        return None

    def _entry(self, scope: Scope) -> Response | None:
        """None for whoever has the cookie. The token leaves the address, so that no history or screenshot has it."""
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        given = query.pop(TOKEN, "")
        if given and _equal(given, self.secret) and scope["method"] in READING:
            path = quote(f"/{scope['path'].lstrip('/')}")  # never //host, which would lead elsewhere
            address = path + (f"?{urlencode(query)}" if query else "")
            elsewhere = Headers(scope=scope).get("sec-fetch-site", "none") not in ("none", "same-origin")
            answer = _onwards(address) if elsewhere else RedirectResponse(address, 303)
            answer.set_cookie(self.cookie, self.secret, httponly=True, samesite="strict")
            return answer
        if _equal(_cookies(scope).get(self.cookie, ""), self.secret):
            return None
        return PlainTextResponse("open the address that `darkroom studio` has printed: it has a token\n", 401)


def _onwards(address: str) -> Response:
    """For whoever followed a link in another page, such as a terminal in the browser: that a page of another site led
    somewhere by a redirect keeps the new cookie out, which a page of our own does not."""
    return HTMLResponse(
        f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(address)}"><title>darkroom</title>'
    )


def _leads_here(headers: Headers) -> bool:
    """Whether it is the studio's own, was typed, or is a link that somebody followed to a page.

    A page of another port is of the same site: its browser sends the cookie along with all that it loads from here. It
    could read nothing of that, but keep the studio at work, or take all its streams.
    """
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return True
    return (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")


def form_token(secret: str) -> str:
    """What forms have to send: pages hold it, and it opens no page."""
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()


def may_act(secret: str, given: str) -> bool:
    return _equal(given, form_token(secret))


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _cookies(scope: Scope) -> Mapping[str, str]:
    """Cookies know no ports: other programs of this machine have theirs among them, of any form."""
    return cookie_parser(Headers(scope=scope).get("cookie", ""))
