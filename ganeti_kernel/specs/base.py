"""What every plugin kind shares: versions, parameters, description, context.

A contract is one class that is both the abstract base class (for authors and for type checkers)
and the hook specification (for pluggy). An author derives from it and marks each method with
`@hookimpl`; the registry refuses a plugin whose methods are unmarked or have other arguments.

Rules that hold for every contract:

- Calls are idempotent: what is done already is success, what is gone already is success.
- Calls end by themselves: a driver that waits for something outside has its own deadline.
- Failures are raised as the error the contract names, with a text that says what failed, where
  and what to do. Anything else counts as a defect of the plugin.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import msgspec
import pluggy

from ganeti_kernel.objects.guest import Guest, GuestNic
from ganeti_kernel.paths import Paths

API_VERSION: Final = 2
"""Version of the contracts. It grows with every change that an author can notice."""

API_AGE: Final = 1
"""How many versions back still work: plugins from `API_VERSION - API_AGE` on are taken."""

PROJECT: Final = "ganeti"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a plugin, described once for checks, `--help` texts and documents.

    `type` is "string", "int", "float", "bool", "size" (MiB) or "maybe-string" (string or null).
    `choices`, `minimum`, `maximum` and `pattern` (a regular expression for the whole text) narrow
    it. `required`: an empty value is refused. `cluster_only`: cannot be set on one instance.
    `absolute_path`: a non-empty value must be a normalised absolute path. `secret`: the value is
    never shown, logged or handed out by queries.
    """

    name: str
    type: str = "string"
    default: Any = ""
    help: str = ""
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    required: bool = False
    cluster_only: bool = False
    absolute_path: bool = False
    secret: bool = False


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin says of itself; making one must not touch the system.

    `features` are names by which the kernel decides what it may ask for; each contract lists
    the names it knows, unknown ones are ignored.
    """

    name: str
    version: str
    summary: str
    parameters: tuple[Parameter, ...] = ()
    features: frozenset[str] = frozenset()

    def parameter(self, name: str) -> Parameter | None:
        return next((item for item in self.parameters if item.name == name), None)

    def defaults(self) -> dict[str, Any]:
        return {item.name: item.default for item in self.parameters}


class NicScripts(Protocol):
    """How a hypervisor plugin has a NIC connected: the kernel runs the scripts of its mode."""

    def up(self, guest: Guest, nic: GuestNic, interface: str, phase: str = "") -> None:
        """Connect `interface` (a tap or veth on this node). Raises HypervisorError."""

    def down(self, guest: Guest, nic: GuestNic, interface: str) -> None:
        """Undo `up`; a failure is logged, not raised."""


class PluginLookup(Protocol):
    """How a plugin reaches plugins of another kind (template `ext` needs providers)."""

    def get(self, kind: str, name: str) -> Plugin:
        """Return a usable plugin; raises PluginError that names it and says what to do."""

    def names(self, kind: str) -> Sequence[str]:
        """Names that `get` could take, sorted; broken ones included."""


class ClusterLookup(Protocol):
    """How a plugin asks confd what the cluster's configuration says (collectors do)."""

    def ask(self, number: int, query: Any) -> Any:
        """Return the answer to a confd request type, a JSON value.

        Raises ConfdClientError when nobody answers in time or the answer is an error.
        """


@dataclass(frozen=True, kw_only=True)
class PluginContext:
    """What the kernel hands to a plugin when it makes one.

    `state_dir` of a plugin is `paths.run_dir / <its own choice>`; `nics` is None outside the
    node daemon, and so is `plugins` for kinds that have no neighbours. `cluster` is None where
    nobody can be asked: the monitoring daemon and `mon-collector` set it.
    """

    paths: Paths
    node_name: str = ""
    nics: NicScripts | None = None
    plugins: PluginLookup | None = None
    cluster: ClusterLookup | None = None


class Plugin(ABC):
    """Base of every contract."""

    API_VERSION: ClassVar[int] = API_VERSION
    """The contract version the plugin was written for; state a number in your plugin."""

    def __init__(self, context: PluginContext) -> None:
        """Keep it cheap: no system call that can fail or wait."""
        self.context = context

    @hookspec
    @abstractmethod
    def describe(self) -> Description:
        """Return the plugin's description, always the same one."""


class PluginSource(ABC):
    """A plugin that serves others under names of its own, e.g. directories of scripts.

    It is found in the entry-point group of the kind with `.sources` appended.
    """

    API_VERSION: ClassVar[int] = API_VERSION

    def __init__(self, context: PluginContext) -> None:
        self.context = context

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Names served now, sorted; broken ones included, so that they can be diagnosed."""

    @abstractmethod
    def load(self, name: str) -> Plugin:
        """Return the plugin of that name; raises PluginError with what is wrong with it."""

    @abstractmethod
    def location(self, name: str) -> str:
        """Where it comes from, for listings (a path)."""


def to_schema(description: Description) -> dict[str, Any]:
    """The parameters as a JSON schema (draft 2020-12)."""
    kinds: Mapping[str, Any] = {
        "string": {"type": "string"},
        "maybe-string": {"type": ["string", "null"]},
        "int": {"type": "integer"},
        "size": {"type": "integer", "description": "MiB"},
        "float": {"type": "number"},
        "bool": {"type": "boolean"},
    }
    properties: dict[str, Any] = {}
    for item in description.parameters:
        entry = dict(kinds[item.type]) | {"default": item.default}
        if item.help:
            entry["description"] = item.help
        if item.choices:
            entry["enum"] = list(item.choices)
        if item.minimum is not None:
            entry["minimum"] = item.minimum
        if item.maximum is not None:
            entry["maximum"] = item.maximum
        if item.pattern is not None:
            entry["pattern"] = f"^(?:{item.pattern})$"
        if item.secret:
            entry["writeOnly"] = True
        properties[item.name] = entry
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": description.name,
        "type": "object",
        "properties": properties,
        "required": [item.name for item in description.parameters if item.required],
        "additionalProperties": False,
    }
