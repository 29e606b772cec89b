"""Pools of addresses: which addresses of a network are taken, and by whom.

Pure functions; a change returns a new Network. Addresses are IPv4 in dotted form. A network's
`reservations` are addresses of instances, its `ext_reservations` those taken by anything else.
Sizes and rules: upstream 3.0's documentation of networks.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final

import msgspec

from ganeti_kernel.errors import AddressPoolError
from ganeti_kernel.objects import Network

MIN_PREFIX: Final = 16
MAX_PREFIX: Final = 30


def subnet(network: Network) -> ipaddress.IPv4Network:
    """Return the network's addresses; raises AddressPoolError when it is not a usable subnet."""
    try:
        value = ipaddress.IPv4Network(network.network)
    except ValueError as error:
        raise AddressPoolError(f"network {network.name}: {error}") from None
    if not MIN_PREFIX <= value.prefixlen <= MAX_PREFIX:
        raise AddressPoolError(
            f"network {network.name}: {value} is refused; its prefix length must be between "
            f"{MIN_PREFIX} and {MAX_PREFIX}"
        )
    return value


def with_pool(network: Network) -> Network:
    """Return a new network's object with its pool made.

    Reserved from outside are the first address, the last one and the gateway.
    """
    own = subnet(network)
    empty = "0" * own.num_addresses
    out = msgspec.structs.replace(network, reservations=empty, ext_reservations=empty)
    for address in (str(own.network_address), str(own.broadcast_address), network.gateway):
        if address is not None:
            out = reserve(out, address, external=True)
    return out


def contains(network: Network, address: str) -> bool:
    try:
        return ipaddress.IPv4Address(address) in subnet(network)
    except ValueError:
        return False


def is_reserved(network: Network, address: str, *, external: bool | None = None) -> bool:
    """Say whether the address is taken: from outside (True), by an instance (False), by any."""
    index = _index(network, address)
    inner, outer = _maps(network)
    return (external is not True and inner[index] == "1") or (
        external is not False and outer[index] == "1"
    )


def reserve(
    network: Network, address: str, *, external: bool = False, check: bool = True
) -> Network:
    """Take an address for an instance, or with `external` for anything else.

    Without `check` an instance may take an address that is reserved from outside. Raises
    AddressPoolError when it is taken or not in the network.
    """
    index = _index(network, address)
    inner, outer = _maps(network)
    if outer[index] == "1" and (external or check):
        raise AddressPoolError(f"IP {address} is already externally reserved")
    if inner[index] == "1":
        raise AddressPoolError(f"IP {address} is already used by an instance")
    return _with_bit(network, index, "1", external)


def release(network: Network, address: str, *, external: bool = False) -> Network:
    """Give an address back; raises AddressPoolError when it is not taken."""
    index = _index(network, address)
    if _maps(network)[external][index] == "0":
        kind = "externally reserved" if external else "used by an instance"
        raise AddressPoolError(f"IP {address} is not {kind}")
    return _with_bit(network, index, "0", external)


def first_free(network: Network, also_taken: Collection[str] = ()) -> str:
    """Return the lowest free address; raises AddressPoolError when there is none."""
    own = subnet(network)
    for index, mark in enumerate(usage_map(network)):
        if mark == ".":
            address = str(own[index])
            if address not in also_taken:
                return address
    raise AddressPoolError(
        f"network {network.name} is full: none of its {own.num_addresses} addresses is free; "
        "release some or use another network"
    )


def change_gateway(network: Network, gateway: str | None) -> Network:
    """Give the network another gateway or none; the old one's address becomes free.

    Raises AddressPoolError when the new one is outside or in use.
    """
    out = network
    if network.gateway is not None and is_reserved(network, network.gateway, external=True):
        out = release(out, network.gateway, external=True)
    if gateway is not None:
        out = reserve(out, gateway, external=True)
    return msgspec.structs.replace(out, gateway=gateway)


def usage_map(network: Network) -> str:
    """Return one character an address: "X" taken, "." free."""
    inner, outer = _maps(network)
    return "".join("X" if "1" in pair else "." for pair in zip(inner, outer, strict=True))


def size(network: Network) -> int:
    return subnet(network).num_addresses


def free_count(network: Network) -> int:
    return usage_map(network).count(".")


def reserved_count(network: Network) -> int:
    return usage_map(network).count("X")


def external_addresses(network: Network) -> list[str]:
    """Return the addresses that are reserved from outside, in order."""
    own = subnet(network)
    return [str(own[index]) for index, bit in enumerate(_maps(network)[1]) if bit == "1"]


def instance_addresses(network: Network) -> list[str]:
    """Return the addresses that are reserved for instances, in order."""
    own = subnet(network)
    return [str(own[index]) for index, bit in enumerate(_maps(network)[0]) if bit == "1"]


def _index(network: Network, address: str) -> int:
    own = subnet(network)
    try:
        value = ipaddress.IPv4Address(address)
    except ValueError as error:
        raise AddressPoolError(f"network {network.name}: {error}") from None
    if value not in own:
        raise AddressPoolError(f"IP {address} does not belong to network {network.name} ({own})")
    return int(value) - int(own.network_address)


def _maps(network: Network) -> tuple[str, str]:
    """Return (instances', outside) reservations, both as long as the network."""
    length = subnet(network).num_addresses
    maps = (network.reservations or "0" * length, network.ext_reservations or "0" * length)
    for bits in maps:
        if len(bits) != length or set(bits) - {"0", "1"}:
            raise AddressPoolError(
                f"network {network.name}: its pool is damaged ({len(bits)} marks for {length} "
                "addresses); restore it from a backup of the configuration"
            )
    return maps


def _with_bit(network: Network, index: int, bit: str, external: bool) -> Network:
    inner, outer = _maps(network)
    bits = outer if external else inner
    bits = bits[:index] + bit + bits[index + 1 :]
    return msgspec.structs.replace(
        network,
        reservations=inner if external else bits,
        ext_reservations=bits if external else outer,
    )
