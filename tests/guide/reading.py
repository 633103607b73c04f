"""How a client reads pages."""

from __future__ import annotations

from typing import Any

from django.test import Client


def pages(client: Client, url: str) -> list[dict[str, Any]]:
    """All pages, with the loop that the older guide shows in four frameworks."""
    base, found, cursor = url.partition("?")[0], [], None

    while True:
        response = client.get(f"{base}?cursor={cursor}" if cursor else url)
        assert response.status_code == 200, response.content
        found.append(response.json())
        cursor = found[-1]["cursor"]

        if not cursor:
            return found


def parts(client: Client, url: str) -> dict[str, Any]:
    """All parts by name; one that failed is None."""
    return {
        name: data
        for page in pages(client, url)
        for result in page["results"]
        for name, data in result.items()
    }


def errors(client: Client, url: str) -> dict[str, dict[str, Any]]:
    """The problems of the parts that failed, by name."""
    return {
        error["part"]: error
        for page in pages(client, url)
        for error in page.get("errors", [])
    }
