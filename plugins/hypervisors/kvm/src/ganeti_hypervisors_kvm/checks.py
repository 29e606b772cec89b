"""What can be wrong with parameters beyond types and choices: rules across them, this node.

Source of the rules: upstream 3.0's documentation of the hypervisor's parameters.
"""

from __future__ import annotations

import ipaddress
import os
import pwd
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

Params = Mapping[str, Any]

FILES: Final = ("kernel_path", "initrd_path", "floppy_image_path", "vnc_password_file")
DIRECTORIES: Final = ("mem_path", "vnc_x509_path")
IMAGES: Final = ("cdrom_image_path", "cdrom2_image_path")
URL: Final = re.compile(r"(?:https?|ftps?|tftp)://.+")
CPU_RANGE: Final = re.compile(r"\^?\d+(?:-\d+)?")


def across(params: Params) -> Iterator[str]:
    """Yield what is wrong between parameters; nothing is read from the system."""
    for wrong, text in _RULES:
        if wrong(params):
            yield text
    yield from _spice(params)
    try:
        parse_cpu_mask(str(params.get("cpu_mask") or "all"))
    except ValueError as error:
        yield f"cpu_mask: {error}"
    try:
        shlex.split(str(params.get("kvm_extra") or ""))
    except ValueError as error:
        yield f"kvm_extra: {error}"
    bind = str(params.get("vnc_bind_address") or "")
    if bind and not bind.startswith("/") and not _is_address(bind):
        yield f"vnc_bind_address: {bind!r} is neither an IP address nor an absolute path"


_Rule = tuple[Callable[[Params], object], str]
_RULES: Final[tuple[_Rule, ...]] = (
    (
        lambda p: p.get("boot_order") == "cdrom" and not p.get("cdrom_image_path"),
        "boot_order cdrom needs cdrom_image_path",
    ),
    (
        lambda p: p.get("boot_order") == "floppy" and not p.get("floppy_image_path"),
        "boot_order floppy needs floppy_image_path",
    ),
    (
        lambda p: p.get("kernel_path") and not p.get("root_path"),
        "kernel_path needs root_path",
    ),
    (
        lambda p: p.get("security_model") == "user" and not p.get("security_domain"),
        "security_model user needs security_domain, the user's name",
    ),
    (
        lambda p: p.get("security_model") != "user" and p.get("security_domain"),
        "security_domain goes only with security_model user",
    ),
    (
        lambda p: p.get("security_model") == "pool",
        "security_model pool is not served by this plugin; use user or none",
    ),
    (
        lambda p: p.get("vnc_x509_verify") and not p.get("vnc_x509_path"),
        "vnc_x509_verify needs vnc_x509_path",
    ),
    (
        lambda p: p.get("vnc_tls") and not p.get("vnc_x509_path"),
        "vnc_tls needs vnc_x509_path, the directory of the server's certificate",
    ),
    (
        lambda p: p.get("spice_use_tls"),
        "spice_use_tls is not served by this plugin; bind SPICE to a loopback address instead",
    ),
    (
        lambda p: p.get("spice_bind") and p.get("vnc_bind_address"),
        "spice_bind and vnc_bind_address exclude each other",
    ),
    (
        lambda p: p.get("disk_aio") == "native" and p.get("disk_cache") != "none",
        "disk_aio native needs disk_cache none",
    ),
    (
        lambda p: int(p.get("virtio_net_queues") or 1) > 1 and not p.get("vhost_net"),
        "virtio_net_queues over 1 needs vhost_net",
    ),
)


def _spice(params: Params) -> Iterator[str]:
    """SPICE's own parameters mean nothing without SPICE."""
    bind = str(params.get("spice_bind") or "")
    if bind:
        if not _is_address(bind):
            yield f"spice_bind: {bind!r} is no IP address (an interface is not served)"
        return
    for name in ("spice_password_file", "spice_image_compression", "spice_streaming_video"):
        if params.get(name):
            yield f"{name} needs spice_bind"
    if params.get("spice_ip_version"):
        yield "spice_ip_version needs spice_bind"


def on_node(params: Params) -> Iterator[str]:
    """Yield what is wrong with these parameters on this node."""
    program = Path(str(params.get("kvm_path") or ""))
    if not (program.is_file() and os.access(program, os.X_OK)):
        yield f"kvm_path: {program} is no program on this node; install QEMU or set another path"
    for name in FILES:
        if params.get(name) and not Path(str(params[name])).is_file():
            yield f"{name}: there is no file {params[name]} on this node"
    for name in DIRECTORIES:
        if params.get(name) and not Path(str(params[name])).is_dir():
            yield f"{name}: there is no directory {params[name]} on this node"
    for name in IMAGES:
        value = str(params.get(name) or "")
        if value and not URL.fullmatch(value) and not Path(value).is_file():
            yield f"{name}: {value} is neither a file on this node nor a URL"
    if params.get("security_model") == "user" and not _user_exists(str(params["security_domain"])):
        yield f"security_domain: there is no user {params['security_domain']} on this node"


def parse_cpu_mask(text: str) -> list[frozenset[int]]:
    """Read a CPU mask: `all` is an empty list, else one set for each virtual CPU (or one for all).

    Parts are separated by `:`, each a list of `N`, `N-M` and `^N` (not this one), or `all`. An
    empty set means any CPU. Raises ValueError.
    """
    if text == "all":
        return []
    return [frozenset() if part == "all" else _cpus(part) for part in text.split(":")]


def _cpus(text: str) -> frozenset[int]:
    chosen: set[int] = set()
    left_out: set[int] = set()
    for piece in text.split(","):
        if not CPU_RANGE.fullmatch(piece):
            raise ValueError(f"{piece!r} is no CPU number or range")
        first, _, last = piece.lstrip("^").partition("-")
        low, high = int(first), int(last or first)
        if low > high or high > 4095:
            raise ValueError(f"{piece!r} is no range of CPUs")
        (left_out if piece.startswith("^") else chosen).update(range(low, high + 1))
    if not chosen - left_out:
        raise ValueError(f"{text!r} leaves no CPU")
    return frozenset(chosen - left_out)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _user_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
