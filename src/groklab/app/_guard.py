"""Who may talk to the dashboard: holders of its token, under a name of this machine, from its own pages."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import socket
from collections.abc import Callable, Iterable, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import jinja2

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
SELF = "'self'"
#: What every answer carries, besides its policy of content.
HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
#: A page on its own: its scripts are in it, and it can reach nothing of the dashboard.
PAGE_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REFUSED = jinja2.Template(
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>groklab: {{ title|lower }}</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    "<h1>{{ title }}</h1><p>{{ reason }}</p></html>",
    autoescape=True,
)


class Guard:
    """Lets requests pass to an application that carry the token, and that no other site has made.

    The token comes once, in the link that the terminal prints; a cookie takes its place, which holds a digest of it.

    Args:
        application: the WSGI application behind it.
        hosts: names of this machine that a browser may use, besides localhost and numerical addresses: another's name
            that points here (DNS rebinding) is refused.
        scripts: digests of the scripts that the application writes into its page.
    """

    def __init__(self, application: Application, hosts: Sequence[str] = (), scripts: Sequence[str] = ()) -> None:
        self.application, self.hosts = application, {"localhost", *(host.lower() for host in hosts)}
        self.token = secrets.token_urlsafe(32)
        self.session = hashlib.sha256(f"session {self.token}".encode()).hexdigest()
        # so that dashboards on several ports do not take each other's
        self.cookie = f"groklab-{self.session[:8]}"
        self.policy = (
            f"default-src 'none'; script-src {' '.join((SELF, *scripts))}; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, or refuse it."""

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            names = {name.lower() for name, _ in headers}
            own = [*HEADERS, ("Content-Security-Policy", self.policy), ("Cache-Control", "no-store")]
            return start_response(status, headers + [h for h in own if h[0].lower() not in names], *rest)

        reason = self._refusal(environ)
        if reason is None and (token := self._token(environ)) is not None:
            if secrets.compare_digest(token.encode(), self.token.encode()):
                return self._welcome(environ, start)
            reason = "This token is not that of the dashboard: open the link that the terminal printed last."
        if reason is None and not self._known(environ):
            reason = "The dashboard needs its token: open the link that the terminal printed."
        if reason is None:
            return self.application(environ, start)
        body = REFUSED.render(title="Not allowed", reason=reason).encode()
        start("403 Forbidden", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
        return [body]

    def _refusal(self, environ: dict[str, Any]) -> str | None:
        """Return why a request is refused whatever token it carries."""
        host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN")
        if not self._serves(host):
            return "The dashboard is not served under this name: use the link that the terminal printed."
        if origin is not None and origin != f"{environ.get('wsgi.url_scheme', 'http')}://{host}":
            return "Another site has asked for this."
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD") and origin is None:
            return "A change needs to come from the dashboard's own page."
        # a link from elsewhere may lead here; a script, picture or frame of another site may not
        foreign = environ.get("HTTP_SEC_FETCH_SITE") in ("cross-site", "same-site")
        if foreign and environ.get("HTTP_SEC_FETCH_MODE") != "navigate":
            return "Another site has asked for this."
        return None

    def _serves(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
            if name in self.hosts:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _token(self, environ: dict[str, Any]) -> str | None:
        if environ["REQUEST_METHOD"] != "GET":
            return None
        return dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)).get("token")

    def _known(self, environ: dict[str, Any]) -> bool:
        try:
            cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
        except CookieError:
            return False
        given = cookies[self.cookie].value if self.cookie in cookies else ""
        return secrets.compare_digest(given.encode(), self.session.encode())

    def _welcome(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        """Exchange the token of a link for a cookie, and lead to the same address without it."""
        rest = [(k, v) for k, v in parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True) if k != "token"]
        # one slash: two would begin the name of another host
        path = "/" + environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace").lstrip("/\\")
        address = quote(path) + (f"?{urlencode(rest)}" if rest else "")
        cookie = f"{self.cookie}={self.session}; HttpOnly; SameSite=Lax; Path=/"
        start("303 See Other", [("Location", address), ("Set-Cookie", cookie), ("Content-Length", "0")])
        return [b""]


def names_of(host: str) -> list[str]:
    """Return the names under which browsers reach a server that listens on `host`."""
    if host in ("127.0.0.1", "::1", "localhost"):
        return []
    return [host, socket.gethostname(), socket.getfqdn()]
