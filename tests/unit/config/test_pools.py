"""Address pools against sets of addresses."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ganeti_kernel.config import pools
from ganeti_kernel.errors import AddressPoolError
from ganeti_kernel.objects import ConfigView, Network


def new_network(cidr: str = "192.0.2.0/28", gateway: str | None = "192.0.2.1") -> Network:
    return pools.with_pool(Network(uuid="n", name="net1", network=cidr, gateway=gateway))


def test_recorded_pool(rich1: ConfigView) -> None:
    """Values: upstream's `gnt-network info` on the same configuration."""
    network = rich1.find_network("net1")
    assert network is not None
    assert pools.usage_map(network) == "XXXXXX...XX....X"
    assert (pools.size(network), pools.free_count(network), pools.reserved_count(network)) == (
        16,
        7,
        9,
    )
    assert pools.external_addresses(network) == [
        "192.0.2.0",
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.3",
        "192.0.2.15",
    ]
    assert pools.first_free(network) == "192.0.2.6"


def test_new_pool_keeps_first_last_and_gateway() -> None:
    network = new_network()
    assert network.ext_reservations == "1100000000000001"
    assert network.reservations == "0" * 16
    assert new_network(gateway=None).ext_reservations == "1000000000000001"
    with pytest.raises(AddressPoolError, match="already externally reserved"):
        new_network(gateway="192.0.2.15")
    with pytest.raises(AddressPoolError, match="does not belong"):
        new_network(gateway="192.0.3.1")


@pytest.mark.parametrize(
    "cidr",
    ["192.0.2.0/31", "192.0.2.0/32", "10.0.0.0/15", "192.0.2.1/28", "nonsense", "2001:db8::/64"],
)
def test_unusable_networks(cidr: str) -> None:
    with pytest.raises(AddressPoolError, match="net1"):
        new_network(cidr, None)


@pytest.mark.parametrize("cidr", ["192.0.2.0/30", "10.1.0.0/16"])
def test_smallest_and_largest(cidr: str) -> None:
    network = new_network(cidr, None)
    assert pools.free_count(network) == ipaddress.ip_network(cidr).num_addresses - 2


def test_errors_name_address_and_owner() -> None:
    network = pools.reserve(new_network(), "192.0.2.5")
    used, outside, free = "192.0.2.5", "192.0.2.1", "192.0.2.6"
    with pytest.raises(AddressPoolError, match=f"^IP {used} is already used by an instance$"):
        pools.reserve(network, used)
    with pytest.raises(AddressPoolError, match=f"^IP {used} is already used by an instance$"):
        pools.reserve(network, used, external=True)
    with pytest.raises(AddressPoolError, match=f"^IP {outside} is already externally reserved$"):
        pools.reserve(network, outside)
    with pytest.raises(AddressPoolError, match=f"^IP {free} is not used by an instance$"):
        pools.release(network, free)
    with pytest.raises(AddressPoolError, match=f"^IP {free} is not externally reserved$"):
        pools.release(network, free, external=True)
    with pytest.raises(AddressPoolError, match="does not belong to network net1"):
        pools.reserve(network, "192.0.3.1")
    with pytest.raises(AddressPoolError, match="nonsense"):
        pools.reserve(network, "nonsense")


def test_unchecked_reservation_may_take_an_outside_address() -> None:
    network = pools.reserve(new_network(), "192.0.2.1", check=False)
    assert pools.is_reserved(network, "192.0.2.1", external=False)
    with pytest.raises(AddressPoolError, match="already used by an instance"):
        pools.reserve(network, "192.0.2.1", check=False)


def test_full_pool_says_so() -> None:
    network = new_network("192.0.2.0/30", "192.0.2.1")
    assert pools.first_free(network) == "192.0.2.2"
    with pytest.raises(AddressPoolError, match="full"):
        pools.first_free(network, {"192.0.2.2"})
    with pytest.raises(AddressPoolError, match="network net1 is full"):
        pools.first_free(pools.reserve(network, "192.0.2.2"))


def test_gateway_moves_with_its_reservation() -> None:
    network = pools.change_gateway(new_network(), "192.0.2.9")
    assert pools.external_addresses(network) == ["192.0.2.0", "192.0.2.9", "192.0.2.15"]
    assert pools.change_gateway(network, None).gateway is None
    with pytest.raises(AddressPoolError, match="used by an instance"):
        pools.change_gateway(pools.reserve(network, "192.0.2.4"), "192.0.2.4")


def test_damaged_pool_is_named() -> None:
    network = Network(uuid="n", name="net1", network="192.0.2.0/28", reservations="01")
    with pytest.raises(AddressPoolError, match="net1: its pool is damaged"):
        pools.usage_map(network)


STEPS = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 15)), max_size=40)


@given(steps=STEPS)
def test_pool_is_two_sets(steps: list[tuple[bool, bool, int]]) -> None:
    network = new_network()
    own = ipaddress.ip_network("192.0.2.0/28")
    inner: set[str] = set()
    outer = {"192.0.2.0", "192.0.2.1", "192.0.2.15"}
    for take, external, index in steps:
        address = str(own[index])
        chosen = outer if external else inner
        allowed = address not in (inner | outer) if take else address in chosen
        try:
            if take:
                network = pools.reserve(network, address, external=external)
            else:
                network = pools.release(network, address, external=external)
        except AddressPoolError:
            assert not allowed
        else:
            assert allowed
            (chosen.add if take else chosen.remove)(address)
        everything = {str(item) for item in own}
        assert set(pools.external_addresses(network)) == outer
        assert set(pools.instance_addresses(network)) == inner
        assert pools.free_count(network) == len(everything - inner - outer)
        assert pools.free_count(network) + pools.reserved_count(network) == pools.size(network)
        for item in everything:
            assert pools.is_reserved(network, item) == (item in inner | outer)


@given(
    prefix=st.integers(24, 30),
    taken=st.sets(st.integers(0, 255)),
    others=st.sets(st.integers(0, 255)),
)
def test_first_free_is_the_lowest(prefix: int, taken: set[int], others: set[int]) -> None:
    network = new_network(f"10.0.0.0/{prefix}", None)
    own = ipaddress.ip_network(network.network)
    for index in taken:
        if 0 < index < own.num_addresses - 1:
            network = pools.reserve(network, str(own[index]))
    extra = {f"10.0.0.{index}" for index in others}
    free = [
        str(own[index])
        for index in range(1, own.num_addresses - 1)
        if index not in taken and index not in others
    ]
    assume(free)
    assert pools.first_free(network, extra) == free[0]
