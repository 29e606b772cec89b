"""Parameters that users give as texts."""

from __future__ import annotations

import pytest

from ganeti_kernel.errors import OpPrereqError
from ganeti_kernel.operations.inherited import check_ndparams
from ganeti_kernel.operations.instance_params import check_beparams, check_name


def test_node_parameters_get_their_types() -> None:
    given = {"ovs": "False", "exclusive_storage": "true", "ssh_port": "2222", "cpu_speed": "1.5"}
    assert check_ndparams(given) == {
        "ovs": False,
        "exclusive_storage": True,
        "ssh_port": 2222,
        "cpu_speed": 1.5,
    }


@pytest.mark.parametrize("given", [{"ssh_port": "x"}, {"ovs": "maybe"}, {"nosuch": "1"}])
def test_wrong_node_parameters_are_named(given: dict[str, str]) -> None:
    with pytest.raises(OpPrereqError, match=next(iter(given))):
        check_ndparams(given)


def test_backend_parameters() -> None:
    assert check_beparams({"memory": "1G", "vcpus": "2", "auto_balance": "no"}) == {
        "maxmem": 1024,
        "minmem": 1024,
        "vcpus": 2,
        "auto_balance": False,
    }
    for wrong in ({"memory": "x"}, {"vcpus": "0"}, {"auto_balance": "1e"}, {"nosuch": 1}):
        with pytest.raises(OpPrereqError, match=next(iter(wrong))):
            check_beparams(wrong)


@pytest.mark.parametrize("name", ["a b", "../x", "-x", "x-", "", "a..b", "x" * 300, "a/b", "é"])
def test_names_that_are_no_host_names(name: str) -> None:
    with pytest.raises(OpPrereqError):
        check_name(name)
