"""The blocks of docs/python.md, one after another."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/python.md"


def test_the_page(workspace: Path) -> None:
    text = PAGE.read_text()
    blocks = [(text[: found.start()].count("\n") + 2, found[1]) for found in re.finditer(r"```python\n(.*?)```", text, re.S)]
    assert len(blocks) >= 6
    names: dict[str, object] = {"__name__": "page"}
    for line, block in blocks:
        exec(compile("\n" * (line - 1) + block, str(PAGE), "exec"), names)
