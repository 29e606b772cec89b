"""Entry points of all programs: read the command line, run, turn errors into text and exit codes.

Only what the chosen program needs is imported, as start-up is most of a small run's time.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from . import command_line
from .errors import HtoolsError, UsageError

#: Programs that take arguments beside options, or refuse them in their own words.
_TAKES_ARGUMENTS = frozenset({"hail", "harep", "hscan", "hplot"})


def run(program: str, argv: Sequence[str]) -> int:
    """Run ``program`` and return its exit code; output goes to ``sys.stdout`` and ``stderr``."""
    # numpy starts a pool of threads that no program here has use for
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        if program == "hplot":
            return int(_module(program).main(list(argv)))
        chosen = command_line.read(program, list(argv))
        if command_line.answered(program, chosen):
            return 0
        if chosen.arguments and program not in _TAKES_ARGUMENTS:
            raise UsageError("Error: This program doesn't take any arguments.")
        return int(_module(program).run(chosen))
    except UsageError as err:
        sys.stdout.flush()
        sys.stderr.write(f"{err}\n")
        return err.status
    except HtoolsError as err:
        sys.stdout.flush()
        sys.stderr.write(f"{program}: {err}\n")
        return 1
    except BrokenPipeError:
        # whoever reads our output has left; nothing more can be said
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"{program}: interrupted\n")
        return 130


def _module(program: str) -> Any:
    return importlib.import_module(f".programs.{program}", __package__)


def _enter(program: str) -> int:
    # a short run makes no cycles worth looking for, and the search for them costs a tenth of it
    gc.disable()
    return run(program, sys.argv[1:])


hbal = partial(_enter, "hbal")
hail = partial(_enter, "hail")
hspace = partial(_enter, "hspace")
hsqueeze = partial(_enter, "hsqueeze")
hroller = partial(_enter, "hroller")
hcheck = partial(_enter, "hcheck")
hscan = partial(_enter, "hscan")
hinfo = partial(_enter, "hinfo")
harep = partial(_enter, "harep")
hplot = partial(_enter, "hplot")
