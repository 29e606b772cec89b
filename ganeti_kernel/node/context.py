"""What node calls work with: this node's paths, name and plugins."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from ganeti_kernel.errors import (
    BlockDeviceError,
    GenericError,
    HypervisorError,
    PluginError,
    RemoteError,
)
from ganeti_kernel.node.copies import Replica
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.specs.disk_template import DiskTemplate
from ganeti_kernel.specs.hypervisor import Hypervisor

log = logging.getLogger(__name__)

T = TypeVar("T")


class Services:
    """What a node call needs of this machine's daemons; a process without any has none."""

    def leaving(self) -> None:
        """This node is about to leave its cluster: its other daemons have nothing to serve."""

    def left(self) -> None:
        """This node has left its cluster and should stop serving."""

    def master_runs(self) -> bool:
        """Whether a master daemon runs here."""
        return False

    def stop_master(self) -> Iterable[str]:
        """Stop the daemons that only a master runs, end its jobs' processes; names what ended."""
        return ()

    def reload(self, name: str) -> None:
        """Have one of this node's daemons, if it runs, read its files again."""


class NodeContext:
    """One per node daemon; calls use it from several threads."""

    def __init__(
        self,
        paths: Paths,
        name: str,
        plugins: Registry,
        services: Services | None = None,
    ) -> None:
        self.paths = paths
        self.name = name
        self.plugins = plugins
        self.services = services or Services()
        self.replica = Replica(paths, plugins)
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Notice plugins that were installed, removed, switched on or off."""
        with self._lock:  # one look is enough for all that ask at once
            self.plugins.refresh()

    def plugin(self, kind: str, name: str) -> Any:
        """Return a plugin, also one installed a moment ago; raises PluginError."""
        try:
            return self.plugins.get(kind, name)
        except PluginError:
            self.refresh()
            return self.plugins.get(kind, name)

    @contextlib.contextmanager
    def hypervisor(self, name: str) -> Iterator[Hypervisor]:
        """Use a hypervisor; a defect of the plugin becomes a HypervisorError that names it."""
        plugin: Hypervisor = self.plugin("hypervisor", name)
        with _blaming(f"hypervisor {name}", HypervisorError):
            yield plugin

    @contextlib.contextmanager
    def template(self, name: str) -> Iterator[DiskTemplate]:
        """Use a disk template; a defect of the plugin becomes a BlockDeviceError that names it."""
        plugin: DiskTemplate = self.plugin("disk_template", name)
        with _blaming(f"disk template {name}", BlockDeviceError):
            yield plugin

    def has_feature(self, template: str, feature: str) -> bool:
        with self.template(template) as plugin:
            return feature in plugin.describe().features


@contextlib.contextmanager
def _blaming(what: str, error_class: type[GenericError]) -> Iterator[None]:
    try:
        yield
    except GenericError:
        raise
    except NotImplementedError:
        raise error_class(f"{what} cannot do this: it lacks the feature") from None
    except Exception as error:  # a stranger's code; the caller gets one line, the log all
        log.exception("defect in %s", what)
        text = f"{type(error).__name__}: {error}"
        raise error_class(
            f"{what} has a defect ({text}); its author needs this node's log"
        ) from error


_late: dict[str, threading.Thread] = {}
_late_lock = threading.Lock()


def bounded(key: str, seconds: float, function: Callable[[], T]) -> T:
    """Return or raise what `function` does, but wait at most `seconds` for it.

    Raises RemoteError then; the thread is left to itself, as nothing can end it. While it lives,
    further calls with its key are refused at once, so that what hangs takes one thread only.
    """
    with _late_lock:
        if key in _late and _late[key].is_alive():
            raise RemoteError("it still has not answered an earlier call")
        _late.pop(key, None)
    outcome: list[tuple[bool, Any]] = []

    def work() -> None:
        try:
            outcome.append((True, function()))
        except BaseException as error:  # handed over to the thread that waits
            outcome.append((False, error))

    thread = threading.Thread(target=work, name=f"bounded {key}", daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        with _late_lock:
            _late[key] = thread
        raise RemoteError(f"it did not answer within {seconds:g} seconds")
    good, value = outcome[0]
    if good:
        result: T = value
        return result
    if not isinstance(value, Exception):
        raise RemoteError(f"it tried to end the node daemon ({value!r})")
    raise value
