"""A page that asks for six parts, in one answer or as a stream, and says when each was
painted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from django.http import HttpResponse

import django_partstream

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ("client", "page")

CLIENT = (
    Path(django_partstream.__file__).parent / "static/django_partstream/partstream.js"
)
PAGE = """<!doctype html>
<meta charset="utf-8">
<link rel="icon" href="data:,">
<button id="plain">plain</button> <button id="stream">stream</button>
<div id="parts"></div>
<script type="module">
import { stream } from "/partstream.js";

const shown = document.getElementById("parts");

const show = (name, rows, clicked) => {
  const part = document.createElement("ul");
  part.append(...rows.map(({name}) => {
    const item = document.createElement("li");
    item.textContent = name;
    return item;
  }));
  shown.append(name, part);
  // After the frame in which it is painted.
  requestAnimationFrame(() => setTimeout(() =>
    window.painted.push(performance.now() - clicked)));
};

const clear = () => {
  window.painted = [];
  shown.replaceChildren();
  return performance.now();
};

document.getElementById("plain").onclick = async () => {
  const clicked = clear();
  const answer = await fetch("/drf/tables/");
  for (const [name, rows] of Object.entries(await answer.json())) {
    show(name, rows, clicked);
  }
};

document.getElementById("stream").onclick = async () => {
  const clicked = clear();
  const lists = {};
  for await (const frame of stream("/tables/", {transport: "ndjson"})) {
    if (frame.type === "items") (lists[frame.name] ??= []).push(...frame.items);
    if (frame.type === "part") {
      show(frame.name, frame.data ?? lists[frame.name], clicked);
    }
  }
};

window.ready = true;
</script>
"""


async def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE)


async def client(request: HttpRequest) -> HttpResponse:
    return HttpResponse(CLIENT.read_bytes(), content_type="text/javascript")
