"""Disk template ext: the contract on a provider of the test's own, parameters, access modes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from ganeti_storage_ext import ExtTemplate, values

from ganeti_kernel.errors import BlockDeviceError
from ganeti_kernel.objects import BlockDevice
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import Description, Parameter, PluginContext, hookimpl
from ganeti_kernel.specs.disk_template import DiskRequest
from ganeti_kernel.specs.extstorage import ExtStorageProvider, Volume
from ganeti_kernel.testing.disk_template import DiskTemplateContract, make_disk, make_request
from ganeti_kernel.testing.fakes import FixedLookup

PARAMETERS = (
    Parameter(name="count", type="int", default=1, minimum=1, maximum=9),
    Parameter(name="fast", type="bool", default=False),
    Parameter(name="tier", default="hot", choices=("hot", "cold")),
    Parameter(name="label", pattern="[a-z]*"),
)


class PlainProvider(ExtStorageProvider):
    """Volumes are files; `gives` says what attach hands out."""

    gives = "both"
    features: frozenset[str] = frozenset({"snapshot", "open"})

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self.seen: list[tuple[str, Volume]] = []

    def path(self, volume: Volume) -> Path:
        return self.context.paths.under(f"/volumes/{volume.name}")

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="plain",
            version="1",
            summary="files",
            parameters=PARAMETERS,
            features=self.features,
        )

    @hookimpl
    def verify(self, params: dict[str, str]) -> Sequence[str]:
        return ["label must not be evil"] if params.get("label") == "evil" else []

    @hookimpl
    def create(self, volume: Volume) -> None:
        path = self.path(volume)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size != volume.size << 20:
            raise BlockDeviceError(f"{volume.name} has another size")
        with path.open("ab") as stream:
            stream.truncate(volume.size << 20)

    @hookimpl
    def remove(self, volume: Volume) -> None:
        self.path(volume).unlink(missing_ok=True)

    @hookimpl
    def attach(self, volume: Volume) -> BlockDevice:
        path = self.path(volume)
        if not path.exists():
            raise BlockDeviceError(f"no volume {volume.name}")
        uris = {} if self.gives == "path" else {"kvm": f"file:{path}"}
        return BlockDevice(path=None if self.gives == "uri" else str(path), uris=uris)

    @hookimpl
    def detach(self, volume: Volume) -> None:
        pass

    @hookimpl
    def grow(self, volume: Volume, size: int) -> None:
        os.truncate(self.path(volume), size << 20)

    @hookimpl
    def open(self, volume: Volume, exclusive: bool) -> None:
        self.seen.append((f"open {exclusive}", volume))

    @hookimpl
    def close(self, volume: Volume) -> None:
        self.seen.append(("close", volume))

    @hookimpl
    def snapshot(self, volume: Volume, name: str, size: int) -> None:
        self.path(volume).with_name(name).write_bytes(self.path(volume).read_bytes())


def ask(**spec: object) -> DiskRequest:
    return msgspec.structs.replace(make_request(), spec=spec)


class TestExt(DiskTemplateContract):
    @pytest.fixture
    def plugin_class(self) -> type[ExtTemplate]:
        return ExtTemplate

    @pytest.fixture
    def neighbours(self, ganeti_root: Path) -> FixedLookup:
        provider = PlainProvider(PluginContext(paths=Paths(ganeti_root)))
        return FixedLookup({"extstorage": {"plain": provider}})

    @pytest.fixture
    def disk_request(self) -> DiskRequest:
        return ask(provider="plain", tier="cold")

    @pytest.fixture
    def wrong_requests(self) -> list[DiskRequest]:
        return [
            ask(),
            ask(provider="nobody"),
            ask(provider="plain", access="sideways"),
            ask(provider="plain", label="evil"),
            ask(provider="plain", count="many"),
        ]


@pytest.fixture
def provider(tmp_path: Path) -> PlainProvider:
    return PlainProvider(PluginContext(paths=Paths(tmp_path)))


@pytest.fixture
def template(tmp_path: Path, provider: PlainProvider) -> ExtTemplate:
    lookup = FixedLookup({"extstorage": {"plain": provider}})
    return ExtTemplate(PluginContext(paths=Paths(tmp_path), plugins=lookup))


def test_ids_and_params_are_upstreams(template: ExtTemplate) -> None:
    request = ask(provider="plain", tier="cold", access="userspace")
    plan = template.plan(msgspec.structs.replace(request, index=2))
    assert plan.logical_id == ["plain", f"{request.uuid}.ext.disk2"]
    assert plan.params == {"provider": "plain", "tier": "cold", "access": "userspace"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "needs provider=NAME"),
        ({"provider": "nobody"}, "'nobody'"),
        ({"provider": "plain", "bogus": 1}, "no parameter 'bogus' (it takes: count, fast, label"),
        ({"provider": "plain", "count": "0"}, "'0' is less than 1"),
        ({"provider": "plain", "count": "x"}, "not a whole number"),
        ({"provider": "plain", "fast": "maybe"}, "neither true nor false"),
        ({"provider": "plain", "tier": "warm"}, "not one of hot, cold"),
        ({"provider": "plain", "label": "A"}, "does not match"),
        ({"provider": "plain", "label": "a\nb"}, "not a printable text"),
    ],
)
def test_wrong_request_is_explained(
    template: ExtTemplate, spec: dict[str, object], words: str
) -> None:
    (problem,) = template.check_request(ask(**spec))
    assert words in problem
    assert problem.startswith("disk 0: ")


def test_required_parameter_is_missed() -> None:
    needed = Parameter(name="pool", required=True)
    assert values.problems("p", [needed], {}) == ["provider p needs the parameter pool"]
    assert values.problems("p", [needed], {"pool": "x"}) == []


@pytest.mark.parametrize(
    ("gives", "access", "outcome"),
    [
        ("both", "kernelspace", "path"),
        ("both", "userspace", "both"),
        ("path", "kernelspace", "path"),
        ("uri", "userspace", "uri"),
        ("path", "userspace", "set the disk's access to kernelspace"),
        ("uri", "kernelspace", "set the disk's access to userspace"),
    ],
)
def test_access_decides_what_is_attached(
    template: ExtTemplate, provider: PlainProvider, gives: str, access: str, outcome: str
) -> None:
    provider.gives = gives
    disk = make_disk(template, ask(provider="plain", access=access))
    template.create(disk)
    if " " in outcome:
        with pytest.raises(BlockDeviceError, match=outcome):
            template.attach(disk)
        return
    device = template.attach(disk)
    assert (device.path is not None, bool(device.uris)) == {
        "path": (True, False),
        "uri": (False, True),
        "both": (True, True),
    }[outcome]


def test_size_of_what_only_qemu_opens(template: ExtTemplate, provider: PlainProvider) -> None:
    provider.gives = "uri"
    disk = make_disk(template, ask(provider="plain", access="userspace"))
    template.create(disk)
    assert template.actual_size(disk) == disk.size << 20


def test_open_is_left_out_without_the_feature(
    template: ExtTemplate, provider: PlainProvider
) -> None:
    disk = make_disk(template, ask(provider="plain", tier="cold"))
    template.open(disk, False)
    ((call, volume),) = provider.seen
    assert call == "open False"
    assert volume.params == {"tier": "cold"}
    assert volume.access == "kernelspace"
    provider.features = frozenset()
    template.open(disk, True)
    template.close(disk)
    assert len(provider.seen) == 1
    with pytest.raises(BlockDeviceError, match="cannot take snapshots"):
        template.snapshot(disk, "s", 4)
