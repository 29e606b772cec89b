"""Which values of the configuration are secret, and how they are hidden.

Upstream keeps secrets of the configuration in two places: an OS's private parameters (of an
instance and of the cluster). A storage or hypervisor parameter is secret when its plugin says so,
or when its name says so (an outside provider's script has no other way to tell).
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Any, Final

HIDDEN: Final = "<redacted>"
"""What stands in place of a secret (the word upstream's own listings use)."""

_SOUNDS_SECRET: Final = re.compile(
    r"(?:^|[_-])(?:passw(?:or)?d|passwd|passphrase|secret|token|credentials?|"
    r"(?:api|private|secret|access|auth|encryption|luks)[_-]?key)(?:$|[_-])",
    re.IGNORECASE,
)
_NAMES_A_FILE: Final = re.compile(r"[_-](?:file|path|dir)$", re.IGNORECASE)

_PRIVATE: Final = frozenset({"osparams_private", "osparams_private_cluster", "osparams_secret"})
_PARAMETERS: Final = frozenset(
    {"params", "hvparams", "diskparams", "os_hvp", "hv_instance", "hv_actual"}
)


@dataclass(frozen=True, slots=True)
class SecretRules:
    """`names`: parameters that plugins call secret, whatever object carries them; whoever gives a
    set that can change has all views follow it.

    `shown`: nothing is hidden (as upstream). `everywhere`: hidden also where an answer's form is
    upstream's whole object, not only in look-ups by path.
    """

    names: Set[str] = frozenset()
    shown: bool = False
    everywhere: bool = False

    def hides(self, parameter: str) -> bool:
        """Is a parameter of a disk, hypervisor or provider secret?"""
        if parameter in self.names:
            return True
        return bool(_SOUNDS_SECRET.search(parameter)) and not _NAMES_A_FILE.search(parameter)

    def redact(self, value: Any, below: str = "") -> Any:
        """Return a JSON value with secrets replaced by HIDDEN; what has none is the same object.

        `below` is the name of the member that holds the value.
        """
        if self.shown:
            return value
        if below in _PRIVATE:
            return _hide_leaves(value)
        return self._walk(value, below in _PARAMETERS)

    def _walk(self, value: Any, parameters: bool) -> Any:
        if isinstance(value, dict):
            out = {
                key: HIDDEN
                if parameters and item and not isinstance(item, dict | list) and self.hides(key)
                else _hide_leaves(item)
                if key in _PRIVATE
                else self._walk(item, parameters or key in _PARAMETERS)
                for key, item in value.items()
            }
            return out if any(out[key] is not value[key] for key in out) else value
        if isinstance(value, list):
            items = [self._walk(item, parameters) for item in value]
            pairs = zip(items, value, strict=True)
            return items if any(new is not old for new, old in pairs) else value
        return value


def _hide_leaves(value: Any) -> Any:
    """Keep names and structure, hide every value; an empty container is no secret."""
    if isinstance(value, dict):
        return {key: _hide_leaves(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide_leaves(item) for item in value]
    return HIDDEN
