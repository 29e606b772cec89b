"""hail: the IAllocator program. Reads a request, prints the response."""

from __future__ import annotations

import json
import sys

from ganeti_allocators_htools.errors import HtoolsError, LoadError, UsageError, open_error
from ganeti_allocators_htools.iallocator import answer
from ganeti_allocators_htools.loaders import ialloc
from ganeti_allocators_htools.message import question
from ganeti_allocators_htools.options import Options

from .hbal import save, saved_text, show_state


def run(options: Options) -> int:
    if not options.arguments:
        raise UsageError("Error: This program needs an input file.")
    if len(options.arguments) > 1:
        raise UsageError("Error: Only one argument is accepted (the input file)")
    path = options.arguments[0]
    try:
        message = ialloc.read_message(path)
        loaded, state, rules = question(message, options)
        if loaded.warnings and options.verbose > 1:
            sys.stderr.write("".join(f"  - {line}\n" for line in loaded.warnings))
        save(saved_text(state), options, "pre-ialloc", "before iallocator run")
        show_state(state, options, "Initial")
        result = answer(message["request"], state, rules)
    except OSError as err:
        raise HtoolsError(open_error(path, err)) from err
    except LoadError as err:
        raise UsageError(f"Error: {err}") from err
    show_state(result.state, options, "Final")
    shown = json.dumps(result.response, separators=(",", ":"), ensure_ascii=False)
    sys.stdout.write(f"{shown}\n")
    return 0
