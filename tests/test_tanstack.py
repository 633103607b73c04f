"""What `docs/tanstack-query.md` shows is run, with TanStack's own package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal

import pytest

from asgi_example import ports
from asgi_example.processes import Site
from tests import documents
from tests.app.models import Customer, Order
from tests.browsing import CLIENT
from tests.npm import NODE, PACKAGES

pytestmark = pytest.mark.usefixtures("npm_packages")

#: What fetches as in a page of that server, and what the query's cache is told.
PAGE = """
const {{ fetch: plain }} = globalThis;
globalThis.fetch = (url, options) => plain(new URL(url, "{origin}"), options);
"""
HEARD = """
const heard = [];
client.getQueryCache().subscribe(({ type, query }) => {
  if (type === "updated" && query.state.data)
    heard.push(
      Object.values(query.state.data).filter(({ state }) => state === "ok").length
    );
});
await client.fetchQuery(parts("/api/dashboard/?again"));
console.log(JSON.stringify(heard));
"""


@pytest.fixture
def origin(transactional_db: None) -> Iterator[str]:
    ann = Customer.objects.create(name="Ann")
    Order.objects.create(pk=1, customer=ann, total=Decimal("12.50"))

    with Site() as site:
        port = ports.free_port()
        command = [sys.executable, "-m", "uvicorn", "--host", ports.HOST]
        site.start(
            "uvicorn",
            [*command, "--port", str(port), "tests.documents_site:application"],
            cwd=documents.ROOT,
            environment={**os.environ, "DOCUMENT": "docs/progressive-views.md"},
        ).wait_until_logged("Uvicorn running", seconds=60)
        yield f"http://{ports.HOST}:{port}"


@pytest.mark.full
def test_a_query_takes_each_part_when_it_is_there(origin: str) -> None:
    [(block, shown)] = documents.pairs("docs/tanstack-query.md", "js", "text")
    script = block.text.replace(
        "/static/django_partstream/partstream.js", (CLIENT / "partstream.js").as_uri()
    )

    done = subprocess.run(
        [NODE, "--input-type=module"],
        input=f"{PAGE.format(origin=origin)}\n{script}\n{HEARD}",
        cwd=PACKAGES.parent,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    printed, _, heard = done.stdout.strip().rpartition("\n")

    assert (printed + "\n", done.stderr) == (shown.text, "")
    counts = json.loads(heard)
    assert counts == sorted(counts)
    assert counts[-1] == 4
    assert len(set(counts)) > 1
