"""Checking what a user says of a network: addresses, prefixes. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from ganeti_kernel.operations import finding

_MAC_PREFIX: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){2}")


def address(text: str | None, what: str, version: int) -> str | None:
    """An address of one IP version in its usual form; refuses, naming `what`."""
    if text is None:
        return None
    try:
        value = ipaddress.ip_address(text)
    except ValueError:
        value = None
    if value is None or value.version != version:
        finding.refuse(f"{what}: '{text}' is not an IPv{version} address")
    return str(value)


def network6(text: str | None) -> str | None:
    """An IPv6 prefix in its usual form."""
    if text is None:
        return None
    try:
        return str(ipaddress.IPv6Network(text))
    except ValueError as error:
        finding.refuse(f"network6: {error}")


def check_gateway6(gateway: str | None, network: str | None) -> None:
    """Refuse an IPv6 gateway that is neither in the network nor link-local."""
    if gateway is None:
        return
    value = ipaddress.IPv6Address(gateway)
    inside = network is not None and value in ipaddress.IPv6Network(network)
    if not inside and not value.is_link_local:
        finding.refuse(f"gateway6 {gateway} is neither in network6 nor link-local")


def mac_prefix(text: str | None) -> str | None:
    """Three octets in lower case."""
    if not text:
        return None
    prefix = text.lower()
    if _MAC_PREFIX.fullmatch(prefix) is None:
        finding.refuse(f"MAC prefix '{text}' is not three octets (aa:bb:cc)")
    return prefix
