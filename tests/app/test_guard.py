"""Who is answered: holders of the token, by a name of this machine, from the dashboard's own pages."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import Client

from groklab.app._guard import Guard, names_of


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"inside"]


@pytest.fixture
def guard() -> Guard:
    return Guard(application)


def ask(guard: Guard, path: str = "/", method: str = "GET", known: bool = True, **headers: str) -> Any:
    client = Client(guard)
    if known:
        client.set_cookie(guard.cookie, guard.session, domain="127.0.0.1")
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.open(path, method=method, base_url="http://127.0.0.1:8050", headers=names)


def test_the_token_of_the_link_becomes_a_cookie(guard: Guard) -> None:
    client = Client(guard)
    answer = client.get(f"/run/a%20b?token={guard.token}&step=3", base_url="http://127.0.0.1:8050")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/run/a%20b?step=3"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert guard.token not in cookie
    assert client.get("/", base_url="http://127.0.0.1:8050").data == b"inside"


@pytest.mark.parametrize("path", ["/?token=", "/?token=x", "/?token=%C3%A9", "/?token=x&token=y"])
def test_another_token_is_refused(guard: Guard, path: str) -> None:
    assert ask(guard, path, known=False).status_code == 403


@pytest.mark.parametrize("cookie", ["", "x", "é", "a=b; =;;", "\\"])
def test_another_cookie_is_refused(guard: Guard, cookie: str) -> None:
    for value in (cookie, f"{guard.cookie}={cookie}", f"{guard.cookie}={guard.token}"):
        assert ask(guard, known=False, Cookie=value).status_code == 403


def test_two_dashboards_take_no_cookie_of_each_other(guard: Guard) -> None:
    other = Guard(application)
    assert other.cookie != guard.cookie
    assert ask(guard, known=False, Cookie=f"{guard.cookie}={other.session}").status_code == 403


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("127.0.0.1:8050", True),
        ("localhost:9000", True),
        ("[::1]:8050", True),
        ("10.0.0.3:8050", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example:8050", False),
        ("localhost.evil.example", False),
        ("", False),
        ("[::1", False),
        ("a b", False),
    ],
)
def test_names_that_point_here_are_not_enough(guard: Guard, host: str, served: bool) -> None:
    assert guard._serves(host) is served


def test_the_name_that_it_listens_on_is_served() -> None:
    assert names_of("127.0.0.1") == []
    assert Guard(application, names_of("lab.example"))._serves("LAB.example:80")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:8051", "https://127.0.0.1:8050"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_origins_are_refused_with_the_cookie(guard: Guard, method: str, origin: str) -> None:
    assert ask(guard, "/_dash-update-component", method, Origin=origin).status_code == 403


def test_a_change_needs_an_origin(guard: Guard) -> None:
    assert ask(guard, "/x", "POST").status_code == 403
    assert ask(guard, "/x", "POST", Origin="http://127.0.0.1:8050").status_code == 200


def test_another_site_may_link_here_and_not_embed_or_read(guard: Guard) -> None:
    for site in ("cross-site", "same-site"):
        assert ask(guard, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status_code == 200
        assert ask(guard, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status_code == 403
    answer = ask(guard, "/")
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example/", "///evil.example"])
def test_a_link_with_the_token_leads_nowhere_else(guard: Guard, path: str) -> None:
    found: dict[str, Any] = {}
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": f"token={guard.token}",
        "HTTP_HOST": "127.0.0.1:8050",
    }
    guard(environ, lambda status, headers: found.update(dict(headers)))
    assert found["Location"].startswith("/evil.example")


def test_what_is_refused_is_escaped(guard: Guard) -> None:
    answer = ask(guard, "/?token=%3Cscript%3E", known=False)
    assert b"<script>" not in answer.data
