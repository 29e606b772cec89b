"""Host names to addresses.

A cluster that lives under a root directory of its own (a development cluster) keeps its names in
`<root>/etc/ganeti/hosts`, lines as in `/etc/hosts`; what is not there is asked of the system.
"""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

from ganeti_kernel.errors import ResolverError
from ganeti_kernel.paths import Paths

MAX_HOSTS_BYTES = 1 << 20


def parse_hosts(text: str) -> dict[str, tuple[str, str]]:
    """Name in lower case -> (canonical name, address); the first line that has a name wins."""
    out: dict[str, tuple[str, str]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if not names or not is_address(address):
            continue
        for name in names:
            out.setdefault(name.lower(), (names[0], address))
    return out


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(text: str) -> bool:
    """Whether an address is this machine's own, whichever machine it is."""
    return ipaddress.ip_address(text).is_loopback


def resolve(paths: Paths, name: str, family: int = socket.AF_INET) -> tuple[str, str]:
    """Return (canonical name, address) of a host.

    `family` is AF_INET or AF_INET6. Raises ResolverError(name, code, text), code and text as
    the system gives them.
    """
    known = parse_hosts(_read(paths.hosts_file)).get(name.lower())
    if known is not None and _family(known[1]) == family:
        return known
    try:
        found = socket.getaddrinfo(
            name, None, family, socket.SOCK_STREAM, flags=socket.AI_CANONNAME
        )
    except socket.gaierror as error:
        raise ResolverError(name, error.errno, error.strerror) from None
    except (UnicodeError, ValueError) as error:
        raise ResolverError(name, socket.EAI_NONAME, f"not a host name: {error}") from None
    return found[0][3] or name, str(found[0][4][0])


def _family(address: str) -> int:
    version = ipaddress.ip_address(address).version
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_HOSTS_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
