"""The cluster's own address: the master node answers under it, and it moves with the master.

A loopback address (127.0.0.0/8, ::1) is everywhere already and is never set up or taken away. Facts
of upstream 3.0: the site's script, the hooks and their variables.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Mapping
from typing import Any, Final

from ganeti_kernel.errors import CommandError, GenericError, HooksFailure, ParameterError
from ganeti_kernel.node import hooks
from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.registry import node_call
from ganeti_kernel.plugins import process
from ganeti_kernel.rpc.reach import answers
from ganeti_kernel.rpc.results import HOOK_FAILED

SCRIPT: Final = "scripts/master-ip-setup"
SCRIPT_SECONDS: Final = 60.0
COMMAND_SECONDS: Final = 20.0
PING_SECONDS: Final = 1.0
ANNOUNCEMENTS: Final = 3
ETH_ARP: Final = 0x0806

_DEVICE: Final = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")


class MasterAddress:
    """The address, its prefix length and device; raises ParameterError for what cannot be one."""

    def __init__(self, ip: str, netdev: str, netmask: int) -> None:
        try:
            self.ip = ipaddress.ip_address(ip)
        except ValueError:
            raise ParameterError(f"the master's address {ip[:64]!r} is not an address") from None
        if not self.ip.is_loopback and _DEVICE.fullmatch(netdev) is None:
            raise ParameterError(
                f"{netdev[:64]!r} is not a network device for the master's address; set one with "
                "gnt-cluster modify --master-netdev"
            )
        if not 0 <= netmask <= self.ip.max_prefixlen:
            raise ParameterError(f"the master's prefix length {netmask} does not fit {ip}")
        self.netdev = netdev
        self.netmask = netmask

    @property
    def prefix(self) -> str:
        return f"{self.ip}/{self.netmask}"

    def variables(self) -> dict[str, str]:
        """What hooks and the site's script are told."""
        return {
            "MASTER_NETDEV": self.netdev,
            "MASTER_IP": str(self.ip),
            "MASTER_NETMASK": str(self.netmask),
            "CLUSTER_IP_VERSION": str(self.ip.version),
        }


def parse_addresses(text: str) -> dict[str, list[str]]:
    """Device -> `address/prefix length` of each, from `ip -json address show`. Pure."""
    out: dict[str, list[str]] = {}
    for item in json.loads(text or "[]"):
        found = [
            f"{entry['local']}/{entry['prefixlen']}"
            for entry in item.get("addr_info", ())
            if "local" in entry
        ]
        out[str(item.get("ifname", ""))] = found
    return out


def held(ip: str, addresses: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """Where an address is: (device, address with prefix length). Pure."""
    wanted = ipaddress.ip_address(ip)
    return [
        (device, entry)
        for device, entries in addresses.items()
        for entry in entries
        if ipaddress.ip_interface(entry).ip == wanted
    ]


@node_call("master_ip_held")
def master_ip_held(_context: NodeContext, ip: str) -> bool:
    """Whether this node has the address now."""
    return ipaddress.ip_address(ip).is_loopback or bool(held(ip, _addresses()))


@node_call("master_ip_start", subject=lambda _args: "master address")
def master_ip_start(
    context: NodeContext, ip: str, netdev: str, netmask: int, script: bool = False
) -> None:
    """Give this node the master's address; `script`: the site's program does it.

    Refuses while another machine answers under it.
    """
    address = MasterAddress(ip, netdev, netmask)
    if address.ip.is_loopback:
        return
    with _Hooked(context, "turnup", address):
        if script:
            _run_script(context, "start", address)
            return
        where = held(ip, _addresses())
        if (netdev, address.prefix) in where:
            return
        if not where and answers(ip, PING_SECONDS):
            raise GenericError(
                f"another machine answers under the master's address {ip}; take the address from "
                "it first (gnt-cluster deactivate-master-ip there)"
            )
        for device, entry in where:
            _ip("address", "delete", entry, "dev", device)
        _ip("address", "add", address.prefix, "dev", netdev)
        _announce(address)


@node_call("master_ip_stop", subject=lambda _args: "master address")
def master_ip_stop(
    context: NodeContext, ip: str, netdev: str, netmask: int, script: bool = False
) -> None:
    """Take the master's address from this node; one that is not here is success."""
    address = MasterAddress(ip, netdev, netmask)
    if address.ip.is_loopback:
        return
    with _Hooked(context, "turndown", address):
        if script:
            _run_script(context, "stop", address)
            return
        for device, entry in held(ip, _addresses()):
            _ip("address", "delete", entry, "dev", device)


class _Hooked:
    """Hooks before and after (`master-ip-turnup`, `master-ip-turndown`); the former can refuse."""

    def __init__(self, context: NodeContext, what: str, address: MasterAddress) -> None:
        self._context = context
        self._path = f"master-ip-{what}"
        variables = {f"GANETI_{key}": value for key, value in address.variables().items()}
        self._env = variables | {
            "GANETI_OP_CODE": f"OP_CLUSTER_IP_{what.upper()}",
            "GANETI_OBJECT_TYPE": "CLUSTER",
        }

    def __enter__(self) -> None:
        failed = self._run("pre")
        if failed:
            raise HooksFailure(f"a hook refuses: {'; '.join(failed)}")

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self._run("post")

    def _run(self, phase: str) -> list[str]:
        return [
            f"{result.script}: {result.output}"
            for result in hooks.hooks_run(self._context, self._path, phase, dict(self._env))
            if result.code == HOOK_FAILED
        ]


def _run_script(context: NodeContext, action: str, address: MasterAddress) -> None:
    path = context.paths.conf_dir / SCRIPT
    env = {"PATH": hooks.SCRIPT_PATH, **address.variables()}
    try:
        done = process.run([str(path), action], timeout=SCRIPT_SECONDS, env=env, merge=True)
    except CommandError as error:
        raise GenericError(
            f"{error} (the cluster uses an external master address script)"
        ) from None
    if done.code:
        raise GenericError(
            f"{path} {action} failed with exit code {done.code}: {done.tail(5) or 'no output'}"
        )


def _addresses() -> dict[str, list[str]]:
    return parse_addresses(_ip("-json", "address", "show"))


def _ip(*arguments: str) -> str:
    try:
        done = process.run(["ip", *arguments], timeout=COMMAND_SECONDS)
    except CommandError as error:
        raise GenericError(f"{error}; install iproute2") from None
    if done.code:
        raise GenericError(f"`ip {' '.join(arguments)}` failed: {done.tail(2)}")
    return done.output


def _announce(address: MasterAddress) -> None:
    """Tell the neighbours (gratuitous ARP); what cannot be told they learn by asking."""
    if address.ip.version != 4:
        return  # the kernel itself advertises a new IPv6 address
    packed = address.ip.packed
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as line:
            line.bind((address.netdev, ETH_ARP))
            mac = line.getsockname()[4]
            if len(mac) != 6:
                return
            broadcast = b"\xff" * 6
            frame = broadcast + mac + ETH_ARP.to_bytes(2, "big")
            frame += b"\x00\x01\x08\x00\x06\x04\x00\x01" + mac + packed + broadcast + packed
            for _ in range(ANNOUNCEMENTS):
                line.send(frame)
    except OSError:
        return


__all__ = ["MasterAddress", "held", "parse_addresses"]
