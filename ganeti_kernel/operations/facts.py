"""What installed plugins say of themselves; operations decide by that, never by a name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from ganeti_kernel.errors import ECODE_INVAL, ECODE_STATE, OpPrereqError, PluginError
from ganeti_kernel.objects import Cluster
from ganeti_kernel.objects.secrets import SecretRules
from ganeti_kernel.paths import Paths, host_name
from ganeti_kernel.plugins import Registry
from ganeti_kernel.plugins.parameters import validate
from ganeti_kernel.plugins.secrets import secret_parameters
from ganeti_kernel.specs import Description, PluginContext

STORAGE_DIRECTORY = "directory:"
"""Beginning of a template's feature that names the cluster's field with its directory."""


@cache
def registry() -> Registry:
    """This process's plugins; a job process inherits what the warm parent loaded."""
    return Registry(PluginContext(paths=Paths.from_environment(), node_name=host_name()))


def describe(kind: str, name: str) -> Description:
    """A plugin's description; refuses, naming the plugin, when it cannot be used."""
    try:
        return registry().describe(kind, name)
    except PluginError as error:
        raise OpPrereqError(str(error), ECODE_STATE) from None


def check_values(kind: str, name: str, values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Check parameters against a plugin's description; refuses with all problems in one line."""
    good, problems = validate(describe(kind, name).parameters, values, what)
    if problems:
        raise OpPrereqError(f"{name}: {'; '.join(problems)}", ECODE_INVAL)
    return good


def directory_field(description: Description) -> str | None:
    """The cluster's field with the directory of a template that keeps files; None for others."""
    for feature in description.features:
        if feature.startswith(STORAGE_DIRECTORY):
            return feature.removeprefix(STORAGE_DIRECTORY)
    return "file_storage_dir" if "file" in description.features else None


def storage_directory(cluster: Cluster, description: Description) -> str:
    """The cluster's directory for a template that keeps files, "" for others."""
    field = directory_field(description)
    return str(getattr(cluster, field, "")) if field is not None else ""


def secret_rules() -> SecretRules:
    """What a job's result must not show: a view of a job process does not know plugins."""
    return SecretRules(names=frozenset(secret_parameters(registry())))
