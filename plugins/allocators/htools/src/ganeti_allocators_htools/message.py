"""An IAllocator message together with a run's options: what `hail` works on, whoever runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .choosing import Rules
from .loaders import ialloc
from .options import Options
from .prepare import Loaded, make_state, prepare, read_source
from .state import State


class Question(NamedTuple):
    """The prepared cluster, its state and the rules to decide by."""

    loaded: Loaded
    state: State
    rules: Rules


def question(message: Mapping[str, Any], options: Options) -> Question:
    """Prepare a decoded message; raises `HtoolsError`.

    The cluster is the message's, or that of ``--text-data`` or ``--simulate``, with the load its
    monitoring daemons report if the options ask for it.
    """
    if options.text_data is not None or options.simulate:
        cluster = read_source(options)
    else:
        cluster = ialloc.parse(message, options.static_kvm_node_memory)
    if options.mond and not options.ignore_dynu:
        from .loaders import mond  # late: most runs do not ask

        cluster = mond.apply(cluster, options)
    loaded = prepare(cluster, options)
    restrict = options.restrict_allocation_to
    rules = Rules(
        options.capacity_checks,
        options.ignore_soft_errors,
        None if restrict is None else tuple(restrict),
    )
    return Question(loaded, make_state(loaded.cluster, loaded.rules, options), rules)
