"""The code in a Markdown document, so that it can be run.

A block's info string says what it is: `python` is run, in order, as one module;
`python wrong` is a method of a view that must fail as the `text` block after it says;
`sh` asks a server, and the `json` block after it is the answer; `js` is run by node,
and the `text` block after it is what it prints. "…" in an answer stands for anything.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    kind: str
    text: str
    #: Of the first line of code in the document, from 1.
    line: int

    def __str__(self) -> str:
        return f"line {self.line}"


def blocks(document: str) -> list[Block]:
    """All blocks of a document, by its path in the project."""
    text = (ROOT / document).read_text(encoding="utf-8")

    return [
        Block(
            kind=match[1].strip(),
            text=match[2],
            line=text.count("\n", 0, match.start()) + 2,
        )
        for match in FENCE.finditer(text)
    ]


def pairs(document: str, first: str, second: str) -> list[tuple[Block, Block]]:
    """Blocks of one kind that a block of the other kind follows."""
    found = blocks(document)

    return [
        (one, other)
        for one, other in itertools.pairwise(found)
        if (one.kind, other.kind) == (first, second)
    ]


def run_python(document: str, **names: Any) -> Any:
    """The module that all Python blocks of a document make, in order. `names` are what
    a reader has of their own."""
    module: Any = ModuleType(re.sub(r"\W", "_", document))
    module.__dict__.update(names)
    module.__file__ = str(ROOT / document)
    sys.modules[module.__name__] = module

    for block in blocks(document):
        if block.kind == "python":
            code = "\n" * (block.line - 1) + block.text
            exec(compile(code, module.__file__, "exec"), module.__dict__)

    return module


def requests(block: Block) -> list[tuple[str, dict[str, str]]]:
    """The paths and headers that the curl commands of a block ask for."""
    found = []

    for line in block.text.splitlines():
        program, *words = shlex.split(line)
        assert program == "curl", line
        headers, url = {}, None
        rest = iter(words)

        for word in rest:
            if word == "-H":
                name, _, value = next(rest).partition(":")
                headers[name] = value.strip()
            elif word != "-N":
                url = word

        assert url is not None, line
        found.append((url.removeprefix("localhost:8000"), headers))

    return found


def is_like(shown: Any, found: Any) -> bool:
    """Whether what a document shows is what was found; "…" is anything."""
    if shown == "…":
        return True

    if isinstance(shown, dict):
        return (
            isinstance(found, dict)
            and [*shown] == [*found]
            and all(is_like(value, found[key]) for key, value in shown.items())
        )

    if isinstance(shown, list):
        return (
            isinstance(found, list)
            and len(shown) == len(found)
            and all(map(is_like, shown, found))
        )

    return bool(shown == found)
