"""The plugins of one process: found once, loaded when asked for, isolated from each other.

Whatever a plugin does while it is imported or made (raise, call sys.exit), only its own name
becomes unusable, with one line that says why.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ganeti_kernel.errors import ConfigurationError, PluginError
from ganeti_kernel.plugins import checking
from ganeti_kernel.plugins.discovery import NOTHING_DISABLED, Disabled, Found, read_disabled, scan
from ganeti_kernel.plugins.kinds import Kind, kind_of
from ganeti_kernel.specs.base import Description, Plugin, PluginContext, PluginSource

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Broken:
    """A plugin that cannot be used, and why."""

    kind: str
    name: str
    distribution: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} ({self.distribution}): {self.reason}"


class Registry:
    """All plugins, by kind and name. One per process; several threads may use it.

    There is no lock on purpose: a plugin whose import hangs must not hold up the others. Caches
    are replaced, never emptied, and the first of two objects made at once is the one that stays.
    """

    def __init__(
        self,
        context: PluginContext,
        disabled: Disabled | None = None,
        found: Sequence[Found] | None = None,
    ) -> None:
        """`disabled` None: read the node's plugins.toml; `found` None: scan what is installed."""
        self._context = replace(context, plugins=self)
        self._given_disabled = disabled
        self._given_found = found
        self._found: list[Found] = []
        self._disabled = NOTHING_DISABLED
        self._plugins: dict[tuple[str, str], Plugin | Broken] = {}
        self._sources: dict[tuple[str, str], PluginSource | Broken] = {}
        self.config_problem: str | None = None
        self.rescan()

    # -- what there is ---------------------------------------------------------------------------

    def rescan(self) -> None:
        """Look again at what is installed and switched off; forget plugins that went away."""
        before = {(item.kind, item.name, item.label): item for item in self._found}
        self._found = list(scan() if self._given_found is None else self._given_found)
        now = {(item.kind, item.name, item.label) for item in self._found}
        _forget_modules(item for key, item in before.items() if key not in now)
        self._plugins = {}
        self._sources = {}
        self.config_problem = None
        self._disabled = self._given_disabled or NOTHING_DISABLED
        if self._given_disabled is None:
            try:
                self._disabled = read_disabled(self._context.paths.plugins_config)
            except ConfigurationError as error:
                # A typing error in one file must not stop a node; `gnt-plugins check` shows it.
                self.config_problem = str(error)
                log.warning("%s; no plugin is disabled", error)

    def refresh(self) -> bool:
        """Rescan if what is installed or switched off has changed; say whether it has."""
        config = self._context.paths.plugins_config
        disabled = self._given_disabled
        if disabled is None:
            try:
                disabled = read_disabled(config)
            except ConfigurationError:
                disabled = NOTHING_DISABLED
        found = self._found if self._given_found is not None else scan()
        if _labels(found) == _labels(self._found) and disabled == self._disabled:
            return False
        self.rescan()
        return True

    def found(self, kind: str) -> list[Found]:
        """Installed plugins of a kind without its sources, disabled ones included."""
        name = kind_of(kind).name
        return [item for item in self._found if item.kind == name and not item.source]

    def is_disabled(self, item: Found) -> bool:
        return self._disabled.covers(item.kind, item.name, item.distribution)

    def names(self, kind: str) -> list[str]:
        """Names that `get` could take, sorted: installed and not disabled, or from a source."""
        names = {item.name for item in self._enabled(kind)}
        for source in self._usable_sources(kind):
            names |= {
                name for name in source.names() if not self._disabled.covers(kind, name, "source")
            }
        return sorted(names)

    def location(self, kind: str, name: str) -> str:
        """Where a plugin comes from: its distribution, or the path its source gives."""
        for item in self._enabled(kind):
            if item.name == name:
                return item.label
        for source in self._serving(kind, name):
            return source.location(name)
        return ""

    # -- one plugin ------------------------------------------------------------------------------

    def get(self, kind: str, name: str) -> Any:
        """Return a plugin; raises PluginError with the reason and what to do about it."""
        key = (kind_of(kind).name, name)
        plugins = self._plugins
        plugin = plugins.get(key)
        if plugin is None:
            plugin = self._load(kind_of(kind), name)
            # Not kept when it comes from a source: files change without an installation.
            if any(item.name == name for item in self._enabled(key[0])):
                plugin = plugins.setdefault(key, plugin)
        if isinstance(plugin, Broken):
            raise PluginError(str(plugin) if plugin.distribution else plugin.reason)
        return plugin

    def describe(self, kind: str, name: str) -> Description:
        description: Description = self.get(kind, name).describe()
        return description

    def load_all(self, kind: str) -> tuple[dict[str, Any], list[Broken]]:
        """Load every plugin of a kind: the usable ones by name, and the broken ones."""
        good: dict[str, Any] = {}
        broken: list[Broken] = []
        for name in self.names(kind):
            try:
                good[name] = self.get(kind, name)
            except PluginError as error:
                entry = self._plugins.get((kind_of(kind).name, name))
                if not isinstance(entry, Broken):
                    entry = Broken(kind, name, self.location(kind, name), str(error))
                broken.append(entry)
        return good, broken

    # -- loading ---------------------------------------------------------------------------------

    def _enabled(self, kind: str) -> list[Found]:
        return [item for item in self.found(kind) if not self.is_disabled(item)]

    def _load(self, kind: Kind, name: str) -> Plugin | Broken:
        candidates = [item for item in self._enabled(kind.name) if item.name == name]
        sources = self._serving(kind.name, name)
        if len(candidates) + len(sources) > 1:
            return self._ambiguous(kind, name, candidates, sources)
        if candidates:
            return self._load_found(kind, candidates[0])
        if sources:
            return _from_source(kind, name, sources[0])
        return Broken(kind.name, name, "", self._absent(kind, name))

    def _load_found(self, kind: Kind, item: Found) -> Plugin | Broken:
        try:
            cls = _import(item)
            problem = checking.check_class(cls, kind)
            if problem is None:
                plugin: Plugin = cls(self._context)
                problem = checking.check_object(plugin, kind, item.name)
                if problem is None:
                    return plugin
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # a stranger's code: even sys.exit() must stay its own
            problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return Broken(kind.name, item.name, item.label, problem)

    def _serving(self, kind: str, name: str) -> list[PluginSource]:
        """The usable sources that offer a name which is not disabled for sources."""
        if self._disabled.covers(kind_of(kind).name, name, "source"):
            return []
        return [source for source in self._usable_sources(kind) if name in source.names()]

    def _usable_sources(self, kind: str) -> Iterator[PluginSource]:
        name = kind_of(kind).name
        for item in self._found:
            if item.kind != name or not item.source or self.is_disabled(item):
                continue
            key, sources = (name, item.name), self._sources
            source = sources.get(key)
            if source is None:
                source = sources.setdefault(key, self._load_source(item))
            if not isinstance(source, Broken):
                yield source

    def _load_source(self, item: Found) -> PluginSource | Broken:
        try:
            cls = _import(item)
            if not (isinstance(cls, type) and issubclass(cls, PluginSource)):
                problem: str | None = f"{item.value} does not derive from PluginSource"
            else:
                problem = checking.check_version(cls.API_VERSION)
            if problem is None:
                source: PluginSource = cls(self._context)
                source.names()
                return source
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # as for plugins
            problem = f"{type(error).__name__}: {error}"
        broken = Broken(item.kind, item.name, item.label, problem or "unknown")
        log.warning("plugin source %s", broken)
        return broken

    def broken_sources(self, kind: str) -> list[Broken]:
        """Sources of a kind that cannot be used."""
        list(self._usable_sources(kind))
        return [
            item
            for (owner, _name), item in self._sources.items()
            if owner == kind_of(kind).name and isinstance(item, Broken)
        ]

    # -- explanations ----------------------------------------------------------------------------

    def _ambiguous(
        self, kind: Kind, name: str, found: list[Found], sources: list[PluginSource]
    ) -> Broken:
        owners = [item.label for item in found] + [source.location(name) for source in sources]
        config = self._context.paths.plugins_config
        if found:
            example = f'disabled.{kind.name} = ["{name}@{found[0].distribution}"]'
            advice = f"disable one of them in {config} (for example {example})"
        else:
            advice = f'remove one, or disable both in {config} (disabled.{kind.name} = ["{name}"])'
        reason = f"the name is offered by {' and by '.join(owners)}; {advice}"
        return Broken(kind.name, name, ", ".join(owners), reason)

    def _absent(self, kind: Kind, name: str) -> str:
        hidden = [item for item in self.found(kind.name) if item.name == name]
        words = kind.name.replace("_", " ")
        from_source = self._disabled.covers(kind.name, name, "source") and any(
            name in source.names() for source in self._usable_sources(kind.name)
        )
        if hidden or from_source:
            return (
                f"{words} {name!r} is disabled in {self._context.paths.plugins_config}; "
                f"remove it from disabled.{kind.name} to use it"
            )
        known = ", ".join(self.names(kind.name)) or "none"
        return (
            f"{words} {name!r} is not installed on this node (installed: {known}); "
            f"install a distribution that offers it, for example "
            f"ganeti-{kind.family}-{kind.prefix}{name}"
        )


def _labels(found: Iterable[Found]) -> list[tuple[str, str, str]]:
    return sorted((item.kind, item.name, item.label) for item in found)


def _from_source(kind: Kind, name: str, source: PluginSource) -> Plugin | Broken:
    where = source.location(name)
    try:
        plugin = source.load(name)
        problem = checking.check_object(plugin, kind, name)
        if problem is None:
            return plugin
    except PluginError as error:
        return Broken(kind.name, name, "", str(error))
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # as for plugins
        problem = f"{type(error).__name__}: {error}"
    return Broken(kind.name, name, where, problem)


def _import(item: Found) -> Any:
    """Load an entry point through stevedore, which is given the one already found.

    stevedore's own look-up would lose the distribution, hide duplicates, and read a disk cache
    that does not see a plugin installed within the last moments.
    """
    from stevedore.extension import ExtensionManager  # 10 ms

    class OneEntryPoint(ExtensionManager[Any]):
        def list_entry_points(self) -> list[Any]:
            return [item.entry_point]

    def fail(_manager: object, _entry_point: object, error: BaseException) -> None:
        raise error

    manager = OneEntryPoint(item.entry_point.group, on_load_failure_callback=fail)
    return manager[item.name].plugin


def _forget_modules(gone: Iterable[Found]) -> None:
    """Drop the modules of plugins that went away, so that another release can be imported."""
    packages = {item.value.partition(":")[0].partition(".")[0] for item in gone}
    for name in list(sys.modules):
        if name.partition(".")[0] in packages - {"ganeti_kernel"}:
            del sys.modules[name]
