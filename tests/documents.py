"""Read the project's Markdown: code blocks, links, headings.

Hands to : test_docs.py

What a block's fence says
- ```` ```python ````          run, in order, all blocks of one file in one namespace and one empty folder
- ```` ```python no-run ````   compiled only; its first line is a comment with the reason
- ```` ```python file=x.py ```` written there as x.py: later blocks, and processes that they start, import it
- ```` ```console ````         its lines `$ outcore ...`, and `$ python x.py` for such files, are run there
- ```` ```console no-run ````  not run; its first line is a comment with the reason
- ```` ```console torch ````   not run where PyTorch is left out (TORCH=0)
- `<!-- python` ... `-->`      run like the first, but hidden: makes the files that the rest uses
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<info>.*)$")
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)(?: \"[^\"]*\")?\)")


@dataclass(frozen=True)
class Block:
    """One code block."""

    language: str
    run: bool
    text: str
    line: int  # of its first line of code, from 1
    file: str = ""  # to be written there instead of run
    torch: bool = False  # needs PyTorch


def documents() -> list[Path]:
    """README.md and everything under docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(markdown: str) -> list[Block]:
    """Every fenced block and every hidden one, in order; one that is not closed is an error."""
    lines = markdown.splitlines()
    found = []
    i = 0
    while i < len(lines):
        fence = _FENCE.match(lines[i])
        if fence:
            closing = re.compile(rf"^ *{fence['ticks']}`*\s*$")
            language, *words = fence["info"].split() or [""]
        elif lines[i].strip() == "<!-- python":
            closing = re.compile(r"^\s*-->\s*$")
            language, words = "python", []
        else:
            i += 1
            continue
        first = i + 1
        i = first
        while i < len(lines) and not closing.match(lines[i]):
            i += 1
        if i == len(lines):
            raise ValueError(f"line {first}: the block is not closed")
        text = textwrap.dedent("\n".join(lines[first:i])) + "\n"
        (file,) = [word[5:] for word in words if word.startswith("file=")] or [""]
        found.append(Block(language, "no-run" not in words, text, first + 1, file, "torch" in words))
        i += 1
    return found


def commands(text: str) -> Iterator[str]:
    """The shell commands of a console block: what follows `$ `, with continued lines joined."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            yield line[2:].strip()


def prose(markdown: str) -> str:
    """The text without its fenced blocks."""
    kept, closing = [], None
    for line in markdown.splitlines():
        fence = _FENCE.match(line)
        if closing is None and fence:
            closing = fence["ticks"]
        elif closing is not None and fence and fence["ticks"].startswith(closing):
            closing = None
        elif closing is None:
            kept.append(line)
    return "\n".join(kept)


def links(markdown: str) -> list[str]:
    """Targets of links and pictures outside of code."""
    return [match["target"] for match in _LINK.finditer(re.sub(r"`[^`\n]*`", "", prose(markdown)))]


def anchors(markdown: str) -> set[str]:
    """The anchors that a heading gets where the Markdown is shown."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*?) *#*$", prose(markdown), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(
            " ", "-"
        )
        n = 0
        while (f"{slug}-{n}" if n else slug) in found:
            n += 1
        found.add(f"{slug}-{n}" if n else slug)
    return found
