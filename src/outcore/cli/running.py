"""Run a verb and turn what goes wrong into an exit code.

Hands to   : outcore.__main__, the console script
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from outcore.cli.parser import build_parser
from outcore.errors import OutcoreError

FAILED, INTERRUPTED = 1, 130
#: What a shell reports for a process that SIGPIPE ended, as it does other programs at the head of a pipe.
PIPE_CLOSED = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.
    """
    arguments = build_parser().parse_args(argv)
    try:
        code: int = import_module(arguments.module).run(arguments)
        sys.stdout.flush()
        return code
    except OutcoreError as error:
        return _fail(_text(error))
    except BrokenPipeError:
        # Whoever read our output has enough. The interpreter must not try to flush the rest at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return PIPE_CLOSED
    except OSError as error:
        return _fail(str(error))
    except KeyboardInterrupt as interrupt:
        print(f"outcore: interrupted; {str(interrupt) or 'nothing is left half done'}", file=sys.stderr)
        return INTERRUPTED


def _text(error: OutcoreError) -> str:
    # An OSError with a number shows as "[Errno 28] ..."; the text alone says more.
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


def _fail(text: str) -> int:
    print(f"outcore: {text}", file=sys.stderr)
    return FAILED
