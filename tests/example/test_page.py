"""The page's files, and who is logged in."""

from __future__ import annotations

import gzip

import pytest

from .flights import JANUARY_FILE, ROOT

pytestmark = pytest.mark.urls("asgi_example.urls")


def test_page_is_served_whole_and_revalidated_by_its_etag(client):
    first = client.get("/")
    again = client.get("/", headers={"If-None-Match": first.headers["ETag"]})

    assert first.status_code == 200
    assert first.headers["Content-Type"] == "text/html; charset=utf-8"
    assert first.headers["Cache-Control"] == "no-cache"
    assert not first.streaming
    assert first.content == (ROOT / "asgi_example/static/index.html").read_bytes()
    assert (again.status_code, again.content) == (304, b"")


def test_client_of_the_package_is_served_as_a_module(client):
    response = client.get("/static/django_partstream/partstream.js")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "../settings.py",
        "..%2Fsettings.py",
        "%2e%2e/%2e%2e/pyproject.toml",
        "django_partstream/../../settings.py",
        "/etc/passwd",
        "index.html%00.js",
        "index.html/",
        "",
        "x" * 5000,
    ],
)
def test_no_name_leads_out_of_the_static_folders(client, name):
    response = client.get(f"/static/{name}")

    assert response.status_code == 404


def test_page_takes_no_posts(client):
    response = client.post("/")

    assert response.status_code == 405


def test_flights_are_sent_as_stored_to_whoever_reads_gzip(client):
    response = client.get(
        "/data/flights-2013-01.csv", headers={"Accept-Encoding": "br, gzip"}
    )

    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Vary"] == "Accept-Encoding"
    assert response.content == JANUARY_FILE.read_bytes()


def test_flights_are_sent_as_text_to_everybody_else(client):
    response = client.get("/data/flights-2013-01.csv")

    assert "Content-Encoding" not in response.headers
    assert response.content == gzip.decompress(JANUARY_FILE.read_bytes())


def test_session_says_that_there_is_nobody_to_log_in(client):
    response = client.get("/api/session/")

    assert response.json() == {
        "full": False,
        "user": None,
        "login_url": None,
        "logout_url": None,
    }
