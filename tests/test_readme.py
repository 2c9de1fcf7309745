"""Everything the README shows runs, and prints what it says."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from pathlib import Path
from typing import NamedTuple

import pytest

README = Path(__file__).parents[1] / "README.md"
FENCE = re.compile(r"^```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
LENIENT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    line: int
    code: str
    output: str | None


def python_blocks(markdown: str) -> list[Block]:
    """Find the python blocks, each with the text block that directly follows it."""
    fences = list(FENCE.finditer(markdown))
    blocks = []
    for position, fence in enumerate(fences):
        if fence["language"] != "python":
            continue
        follower = fences[position + 1] if position + 1 < len(fences) else None
        shown = (
            follower is not None
            and follower["language"] in {"text", "output"}
            and not markdown[fence.end() : follower.start()].strip()
        )
        line = markdown.count("\n", 0, fence.start("text")) + 1
        blocks.append(Block(line, fence["text"], follower["text"] if follower and shown else None))
    return blocks


def run_blocks(blocks: list[Block], *, source: str) -> None:
    """Run the blocks in one namespace and compare what each prints with what is shown under it."""
    namespace: dict[str, object] = {"__name__": "readme"}
    checker = doctest.OutputChecker()
    for block in blocks:
        code = compile("\n" * (block.line - 1) + block.code, source, "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)  # noqa: S102 - the text under test is this project's own
        if block.output is None or checker.check_output(block.output, printed.getvalue(), LENIENT):
            continue
        example = doctest.Example(block.code, block.output)
        difference = checker.output_difference(example, printed.getvalue(), LENIENT)
        pytest.fail(f"{source}, line {block.line}, prints something else:\n{difference}")


def test_the_readme_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = python_blocks(README.read_text(encoding="utf-8"))
    assert any(block.output for block in blocks), "the README shows no python block with its output"
    monkeypatch.chdir(tmp_path)
    Path("data").symlink_to(README.parent / "data")
    run_blocks(blocks, source="README.md")


def test_the_readme_names_the_two_commands() -> None:
    text = README.read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text


PAGE = """# Page
```python
x = 41
```
Some words.
```text
not an output: words stand between
```
```python
print(x + 1)
print(1 / 3)
```

```text
42
0.333...
```
```bash
exit 1
```
"""


def test_blocks_are_found_with_their_lines_and_outputs() -> None:
    assert python_blocks(PAGE) == [
        Block(3, "x = 41\n", None),
        Block(10, "print(x + 1)\nprint(1 / 3)\n", "42\n0.333...\n"),
    ]


def test_blocks_share_one_namespace_and_pass() -> None:
    run_blocks(python_blocks(PAGE), source="page.md")


def test_a_wrong_output_fails() -> None:
    page = PAGE.replace("42", "43")
    with pytest.raises(pytest.fail.Exception, match=r"page\.md, line 10, prints something else"):
        run_blocks(python_blocks(page), source="page.md")


def test_an_error_names_its_line() -> None:
    page = PAGE.replace("x = 41", "x = 1 / 0")
    with pytest.raises(ZeroDivisionError) as caught:
        run_blocks(python_blocks(page), source="page.md")
    last = caught.traceback[-1]
    assert (str(last.path).endswith("page.md"), last.lineno + 1) == (True, 3)
