"""The command ``outcore``.

Guarantees
- ``outcore --help`` and wrong arguments import nothing heavy: each verb's module is loaded when it runs.
- Exit codes: 0 done, 1 an `OutcoreError` (its text on standard error, no traceback), 2 wrong arguments,
  130 interrupted. Interrupted or failed, a verb leaves nothing under the target's name.
- Results go to standard output, plain or (``--json``) as one JSON object; everything else to standard error.
"""

from outcore.cli.parser import build_parser as build_parser
from outcore.cli.running import main as main

__all__ = ["build_parser", "main"]
