"""Write docs/reference.md from the docstrings and the argument parser.

    python docs/make_reference.py            # write it
    python docs/make_reference.py --check    # exit code 1 if it is not up to date

What is public is listed in `outcore.__all__`, in `outcore.errors`, and in the verbs of the command line;
nothing is listed here a second time, but for the classes that public functions return.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import outcore as oc
from outcore.cli import build_parser

TARGET = Path(__file__).with_name("reference.md")

#: What returns instances of classes that are not public by name: the modules and names of those.
RESULTS = {
    "describe": [("outcore.statistics", "Description")],
    "segments": [("outcore.shared.census", "SharedSegment")],
    "Loader": [("outcore.loader.counting", "LoaderStats"), ("outcore.loader.quality", "ShuffleQuality")],
}

HEAD = """\
# Reference

<!-- Written by docs/make_reference.py from the docstrings; change those, not this file. -->

Everything here is reached through `import outcore as oc`. The keywords `memory=`, `progress=`, `overwrite=`
and `out=` mean the same everywhere. The examples are run by `make test`; they know `np` and `oc`, and have an
empty folder to work in.
"""


def render() -> str:
    """Return the whole page."""
    classes = [name for name in oc.__all__ if inspect.isclass(getattr(oc, name)) and name != "options"]
    modules = [name for name in oc.__all__ if inspect.ismodule(getattr(oc, name)) and name != "errors"]
    functions = [name for name in oc.__all__ if name not in (*classes, *modules, "errors")]
    parts = [HEAD, _contents(functions, classes, modules), "## Functions\n"]
    for name in functions:
        parts.extend(_entry(f"oc.{name}", getattr(oc, name)))
        parts.extend(_results(name))
    parts.append("## Classes\n")
    for name in classes:
        parts.extend(_class(name, getattr(oc, name), prefix="oc."))
        parts.extend(_results(name))
    for name in modules:
        parts.extend(_module(name))
    parts.extend(_errors())
    parts.extend(_commands())
    return "\n".join(parts).rstrip() + "\n"


def _contents(functions: list[str], classes: list[str], modules: list[str]) -> str:
    lines = [f"- functions: {', '.join(f'[`oc.{n}`](#oc{n})' for n in functions)}"]
    lines.append(f"- classes: {', '.join(f'[`oc.{n}`](#oc{n.lower()})' for n in classes)}")
    lines.extend(f"- [{name}](#{name}): `oc.{name}`" for name in modules)
    lines.append("- [errors](#errors)")
    lines.append("- [the command line](#the-command-line)\n")
    return "\n".join(lines)


def _entry(title: str, thing: Any, level: str = "###", signature: str | None = None) -> Iterator[str]:
    yield f"{level} {title}\n"
    yield f"```text\n{title}{signature if signature is not None else _signature(thing)}\n```\n"
    yield from _docstring(thing)


def _results(name: str) -> Iterator[str]:
    for module, result in RESULTS.get(name, []):
        yield from _class(result, getattr(import_module(module), result), prefix="")


def _module(name: str) -> Iterator[str]:
    module = getattr(oc, name)
    yield f"## {name.capitalize()}\n"
    yield from _docstring(module)
    for function in module.__all__:
        yield from _entry(f"oc.{name}.{function}", getattr(module, function))


def _class(name: str, thing: Any, *, prefix: str) -> Iterator[str]:
    yield f"### {prefix}{name}\n"
    yield from _docstring(thing)
    for method, function in vars(thing).items():
        if method in vars(np.ndarray):
            continue  # the same as NumPy's, whose documents have it
        if inspect.isfunction(function) and not method.startswith("_"):
            yield from _entry(f"{name}.{method}", function, "####")
    special = {
        "__getitem__": f"{name}[key]",
        "__setitem__": f"{name}[key] = value",
        "__array__": f"np.asarray({name})",
    }
    for method, shown in special.items():
        if method in vars(thing):
            yield from _entry(shown, vars(thing)[method], "####", signature="")


def _signature(thing: Any) -> str:
    """Write the parameters without annotations, which the text below spells out."""
    kept, star = [], False
    for p in inspect.signature(thing).parameters.values():
        if p.name == "self":
            continue
        if p.kind is p.KEYWORD_ONLY and not star:
            kept.append("*")
            star = True
        kept.append(p.name if p.default is p.empty else f"{p.name}={_default(p.default)}")
    line = f"({', '.join(kept)})"
    return line if len(line) < 90 else "(\n    " + ",\n    ".join(kept) + ",\n)"


def _default(value: Any) -> str:
    return f"np.{value.__name__}" if isinstance(value, type) else repr(value)


def _docstring(thing: Any) -> Iterator[str]:
    text = inspect.getdoc(thing) or ""
    pieces = re.split(r"^([A-Z][A-Za-z ]+)\n-{3,}\n", text, flags=re.MULTILINE)
    yield _markdown(pieces[0])
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        if title == "Examples":
            yield f"```text\n{body.strip()}\n```\n"
        elif title == "Notes":
            yield _markdown(body)
        elif title == "Returns" and re.match(r"\S+( of shape .*)?\n\n?$", body + "\n"):
            yield f"**Returns** {_code(body.strip())}\n"
        else:
            yield f"**{title}**\n"
            yield "\n".join(_definitions(body)) + "\n"


def _definitions(body: str) -> Iterator[str]:
    """Turn numpydoc's "name : type", with an indented text below, into a list."""
    items: list[tuple[str, list[str]]] = []
    for line in body.strip().splitlines():
        if line and not line.startswith(" "):
            items.append((line, []))
        elif items:
            items[-1][1].append(line.strip())
    for head, lines in items:
        names, _, kind = head.partition(" : ")
        label = _code(names) if " of shape " in names else ", ".join(f"`{n}`" for n in names.split(", "))
        explanation = _markdown(" ".join(line for line in lines if line)).strip()
        yield f"- {label}{f' ({_plain(kind)})' if kind else ''}" + (f": {explanation}" if explanation else "")


def _markdown(text: str) -> str:
    """Turn ``code`` and `name` of reStructuredText into Markdown."""
    text = re.sub(r"``(.+?)``", r"`\1`", text.strip())
    return text + "\n"


def _plain(kind: str) -> str:
    return re.sub(r"``(.+?)``", r"\1", kind).replace("*", r"\*").replace("<", r"\<")


def _code(head: str) -> str:
    name, separator, rest = head.partition(" of shape ")
    return f"`{name}`{separator}{_plain(rest)}"


def _errors() -> Iterator[str]:
    yield "## Errors\n"
    yield "Every error that outcore raises on purpose; each is also the built-in exception in brackets.\n"
    classes = [c for c in vars(oc.errors).values() if inspect.isclass(c) and c.__module__ == "outcore.errors"]
    for error in classes:
        bases = ", ".join(f"`{base.__name__}`" for base in error.__bases__)
        yield f"- `oc.errors.{error.__name__}` ({bases}): {_markdown(error.__doc__ or '').strip()}"
    yield ""


def _commands() -> Iterator[str]:
    yield "## The command line\n"
    yield (
        "Results go to standard output, messages and progress bars to standard error. Exit codes: 0 done,\n"
        "1 an error (its text says what to do), 2 wrong arguments, 130 interrupted.\n"
    )
    (verbs,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    for name, parser in verbs.choices.items():
        yield f"### outcore {name}\n"
        positional = [a for a in parser._actions if not a.option_strings]
        words = " ".join(f"{a.metavar or a.dest}{' ...' if a.nargs == '+' else ''}" for a in positional)
        yield f"```text\noutcore {name} {words}{' ' if words else ''}[OPTIONS]\n```\n"
        yield f"{(parser.description or '').strip()}\n"
        for group in parser._action_groups:
            actions = [a for a in group._group_actions if a.dest != "help"]
            if actions and group.title not in ("positional arguments", "options"):
                yield f"\nFor {group.title}:\n"
            yield from map(_argument, actions)
        yield ""
        if parser.epilog:
            yield f"```text\n{parser.epilog.strip()}\n```\n"


def _argument(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"- `{action.metavar or action.dest}`: {action.help}"
    value = (
        ""
        if action.nargs == 0
        else f" {action.metavar or '|'.join(action.choices or ()) or action.dest.upper()}"
    )
    return f"- `{', '.join(action.option_strings)}{value}`: {action.help}"


def main() -> int:
    """Write the page, or check it."""
    page = render()
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.exists() and TARGET.read_text(encoding="utf-8") == page else 1
    TARGET.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
