"""Measuring a device by path or by the URIs that hypervisors open."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganeti_kernel.errors import BlockDeviceError, CommandError
from ganeti_kernel.objects.guest import BlockDevice
from ganeti_kernel.plugins import devices, process


def finished(output: str) -> process.Finished:
    return process.Finished((), 0, output, "")


def test_a_file(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"x" * 1000)
    assert devices.measure(BlockDevice(path=str(image))) == 1000


def test_the_first_uri_that_qemu_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def check(argv: list[str], timeout: float) -> process.Finished:
        asked.append(argv[-1])
        if argv[-1] != "rbd:x":
            raise CommandError("qemu-img failed (exit code 1): Unknown protocol")
        return finished('{"virtual-size": 7}')

    monkeypatch.setattr(process, "check", check)
    device = BlockDevice(path=None, uris={"one": "phy:x", "two": "rbd:x", "three": "rbd:y"})
    assert devices.measure(device) == 7
    assert asked == ["phy:x", "rbd:x"]


@pytest.mark.parametrize("uris", [{}, {"one": "phy:x", "two": "phy:y"}])
def test_nothing_that_can_be_opened(uris: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "check", lambda _argv, timeout: finished("{}"))
    with pytest.raises(BlockDeviceError, match="cannot measure") as caught:
        devices.measure(BlockDevice(path=None, uris=uris))
    assert all(uri in str(caught.value) for uri in uris.values())
