"""Is a class a usable plugin of its kind? Every answer is one line an author can act on."""

from __future__ import annotations

import inspect
from typing import Any

import pluggy

from ganeti_kernel.plugins.kinds import Kind
from ganeti_kernel.specs.base import API_AGE, API_VERSION, PROJECT, Description, Plugin

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def check_version(version: object) -> str | None:
    """Return what is wrong with an API version, None when it is taken."""
    if not isinstance(version, int) or isinstance(version, bool):
        return f"API_VERSION must be a number, not {version!r}"
    oldest = API_VERSION - API_AGE
    if version < oldest:
        return (
            f"it was written for API version {version}, versions {oldest} to {API_VERSION} are "
            f"taken: install a newer release of the plugin (API-CHANGES.md tells its author what "
            f"to change)"
        )
    if version > API_VERSION:
        return (
            f"it needs API version {version}, this kernel has {API_VERSION}: upgrade the kernel "
            f"or install an older release of the plugin"
        )
    return None


def check_class(cls: Any, kind: Kind) -> str | None:
    """Return what is wrong with a plugin class, None when it keeps its contract's form."""
    contract = kind.load_contract()
    if not inspect.isclass(cls):
        return f"its entry point names {cls!r}, which is not a class"
    if not issubclass(cls, contract):
        return f"{cls.__name__} does not derive from {contract.__module__}.{contract.__name__}"
    problem = check_version(getattr(cls, "API_VERSION", None))
    if problem is not None:
        return problem
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        return f"{cls.__name__} lacks the method{'s' * (len(missing) > 1)} {', '.join(missing)}"
    for name in contract_methods(contract):
        problem = _check_method(cls, contract, name)
        if problem is not None:
            return problem
    return None


def contract_methods(contract: type) -> list[str]:
    """The hook names of a contract class."""
    return [
        name
        for name in dir(contract)
        if getattr(getattr(contract, name), f"{PROJECT}_spec", None) is not None
    ]


def _check_method(cls: type, contract: type, name: str) -> str | None:
    method, spec = getattr(cls, name), getattr(contract, name)
    if method is spec:
        return None
    where = f"{cls.__name__}.{name}"
    if getattr(method, f"{PROJECT}_impl", None) is None:
        return f"{where} is not marked with @hookimpl"
    wanted = list(inspect.signature(spec).parameters.values())
    given = list(inspect.signature(method).parameters.values())
    extra = given[len(wanted) :]
    same = [item.name for item in wanted] == [item.name for item in given[: len(wanted)]]
    if not same or any(item.default is item.empty for item in extra if item.kind in _POSITIONAL):
        return f"{where}{inspect.signature(method)} should be {name}{inspect.signature(spec)}"
    return None


def check_object(plugin: Plugin, kind: Kind, name: str) -> str | None:
    """Return what is wrong with a plugin object: hooks without a contract, a wrong description."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(kind.load_contract())
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        return " ".join(str(error).split())
    description: Any = plugin.describe()
    if not isinstance(description, Description):
        return f"describe() returns {type(description).__name__}, not Description"
    if description.name != name:
        return f"describe() calls it {description.name!r}, its entry point {name!r}"
    return None
