"""Directories of scripts as providers: the contract on the example, the script interface."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from ganeti_storage_ext_scripts import ScriptProvider, ScriptSource
from ganeti_storage_ext_scripts.directory import OPTIONAL, REQUIRED
from ganeti_storage_ext_scripts.provider import TIMEOUT_VARIABLE, TIMEOUTS

from ganeti_kernel.errors import BlockDeviceError, PluginError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.specs.extstorage import Volume
from ganeti_kernel.testing.extstorage import ExtStorageContract
from ganeti_kernel.testing.waiting import wait_until

EXAMPLE = Path(__file__).parent.parent / "example" / "filepool"
NEEDS_LOOP = pytest.mark.skipif(
    not Path("/dev/loop-control").exists(), reason="loop devices need /dev/loop-control"
)
Write = Callable[[Mapping[str, str]], ScriptProvider]


class ExampleProvider(ExtStorageContract):
    @pytest.fixture
    def make(
        self, context: PluginContext, ganeti_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[], ScriptProvider]:
        shutil.copytree(EXAMPLE, ganeti_root / "usr/share/ganeti/extstorage/filepool")
        monkeypatch.setenv("FILEPOOL_DIR", str(ganeti_root / "pool"))
        return lambda: ScriptSource(context).load("filepool")

    @pytest.fixture
    def params(self) -> dict[str, str]:
        return {"param1": "blue", "tier": "cold"}


@pytest.mark.root
@NEEDS_LOOP
class TestExampleOnLoopDevices(ExampleProvider):
    """As root: attach prints a loop device and a URI."""


class TestExampleWithUris(ExampleProvider):
    """As anybody: attach prints an empty line and a URI."""

    @pytest.fixture(autouse=True)
    def nobody(self, ganeti_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        directory = ganeti_root / "bin"
        directory.mkdir()
        (directory / "id").write_text("#!/bin/sh\necho 1000\n")
        (directory / "id").chmod(0o755)
        monkeypatch.setenv("PATH", f"{directory}:/usr/sbin:/usr/bin:/sbin:/bin")


@pytest.fixture
def source(tmp_path: Path) -> ScriptSource:
    return ScriptSource(PluginContext(paths=Paths(tmp_path)))


@pytest.fixture
def write(tmp_path: Path, source: ScriptSource) -> Write:
    """Makes a provider whose scripts are as given; the others do nothing."""

    def make(scripts: Mapping[str, str]) -> ScriptProvider:
        directory = tmp_path / "srv/ganeti/extstorage/mine"
        directory.mkdir(parents=True)
        for action in (*REQUIRED, *(set(scripts) & set(OPTIONAL))):
            (directory / action).write_text("#!/bin/sh\n" + scripts.get(action, "exit 0") + "\n")
            (directory / action).chmod(0o755)
        (directory / "parameters.list").write_text(scripts.get("parameters.list", "size Its size"))
        return source.load("mine")

    return make


def dump(tmp_path: Path, action: str) -> dict[str, str]:
    """A script that writes its environment and working directory down."""
    return {action: f"env > {tmp_path}/env; pwd > {tmp_path}/pwd; echo args $# > {tmp_path}/args"}


def seen(tmp_path: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in (tmp_path / "env").read_text().splitlines())
    return {key: value for key, _, value in lines if key.startswith(("VOL_", "EXTP_", "LC_"))}


VOLUME = Volume(name="u.ext.disk0", uuid="d", size=32, params={"param1": "val 1", "x": "y"})
NAMED = Volume(name="u.ext.disk0", uuid="d", size=32, cname="sys disk", access="userspace")
ALWAYS = {"LC_ALL": "C", "VOL_NAME": "u.ext.disk0", "EXTP_PROVIDER": "mine"}
OF_VOLUME = ALWAYS | {
    "VOL_UUID": "d",
    "EXTP_ACCESS": "kernelspace",
    "EXTP_PARAM1": "val 1",
    "EXTP_X": "y",
}


@pytest.mark.parametrize(
    ("action", "call", "extra"),
    [
        ("create", lambda p: p.create(VOLUME), {"VOL_SIZE": "32"}),
        ("remove", lambda p: p.remove(VOLUME), {}),
        ("detach", lambda p: p.detach(VOLUME), {}),
        ("grow", lambda p: p.grow(VOLUME, 48), {"VOL_SIZE": "32", "VOL_NEW_SIZE": "48"}),
        ("setinfo", lambda p: p.set_info(VOLUME, "-a b/c"), {"VOL_METADATA": "_a_b_c"}),
        ("open", lambda p: p.open(VOLUME, True), {"VOL_OPEN_EXCLUSIVE": "True"}),
        ("open", lambda p: p.open(VOLUME, False), {"VOL_OPEN_EXCLUSIVE": "False"}),
        ("close", lambda p: p.close(VOLUME), {}),
    ],
)
def test_environment_is_upstreams(
    write: Write,
    tmp_path: Path,
    action: str,
    call: Callable[[ScriptProvider], None],
    extra: dict[str, str],
) -> None:
    call(write(dump(tmp_path, action)))
    assert seen(tmp_path) == OF_VOLUME | extra
    assert (tmp_path / "pwd").read_text() == f"{tmp_path}/srv/ganeti/extstorage/mine\n"
    assert (tmp_path / "args").read_text() == "args 0\n"


def test_environment_of_named_volume(write: Write, tmp_path: Path) -> None:
    write(dump(tmp_path, "detach")).detach(NAMED)
    assert seen(tmp_path) == ALWAYS | {
        "VOL_UUID": "d",
        "VOL_CNAME": "sys disk",
        "EXTP_ACCESS": "userspace",
    }


def test_environment_of_snapshot(write: Write, tmp_path: Path) -> None:
    write(dump(tmp_path, "snapshot")).snapshot(NAMED, "u.ext.disk0.snap", 48)
    assert seen(tmp_path) == ALWAYS | {
        "EXTP_ACCESS": "userspace",
        "VOL_SNAPSHOT_NAME": "u.ext.disk0.snap",
        "VOL_SNAPSHOT_SIZE": "48",
    }


def recorded() -> dict[str, dict[str, str]]:
    """Script -> the variables that it saw under upstream."""
    text = (Path(__file__).parent / "data/environments.md").read_text()
    out = {}
    for section in text.split("\n### ")[1:]:
        lines = (line.partition("=") for line in section.split("```")[1].split())
        seen = {key: value for key, _, value in lines if key.startswith(("VOL_", "EXTP_", "LC_"))}
        out[section.partition(" ")[0]] = seen
    return out


CALLS: dict[str, Callable[[ScriptProvider, Volume, dict[str, str]], object]] = {
    "create": lambda p, volume, _: p.create(volume),
    "remove": lambda p, volume, _: p.remove(volume),
    "attach": lambda p, volume, _: p.attach(volume),
    "detach": lambda p, volume, _: p.detach(volume),
    "grow": lambda p, volume, env: p.grow(volume, int(env["VOL_NEW_SIZE"])),
    "setinfo": lambda p, volume, env: p.set_info(volume, env["VOL_METADATA"]),
    "snapshot": lambda p, volume, env: p.snapshot(
        volume, env["VOL_SNAPSHOT_NAME"], int(env["VOL_SNAPSHOT_SIZE"])
    ),
    "open": lambda p, volume, env: p.open(volume, env["VOL_OPEN_EXCLUSIVE"] == "True"),
    "close": lambda p, volume, _: p.close(volume),
}


@pytest.mark.parametrize("action", sorted(CALLS))
def test_environment_is_as_recorded_from_upstream(
    write: Write, tmp_path: Path, action: str
) -> None:
    env = recorded()[action]
    params = {key[5:].lower(): value for key, value in env.items() if key.startswith("EXTP_")}
    volume = Volume(
        name=env["VOL_NAME"],
        uuid=env.get("VOL_UUID", ""),
        cname=env.get("VOL_CNAME"),
        size=int(env.get("VOL_SIZE", "32")),
        access=params.pop("access"),
        params={key: value for key, value in params.items() if key != "provider"},
    )
    script = dump(tmp_path, action)[action] + "; echo; echo kvm:x"
    CALLS[action](write({action: script}), volume, env)
    assert seen(tmp_path) | {"EXTP_PROVIDER": env["EXTP_PROVIDER"]} == env


def test_every_script_was_recorded() -> None:
    assert set(recorded()) == set(CALLS) == {*REQUIRED, *OPTIONAL} - {"verify"}


def test_output_goes_to_a_log(write: Write, tmp_path: Path) -> None:
    write({"create": "echo to stdout; echo to stderr >&2"}).create(VOLUME)
    (log,) = (tmp_path / "var/log/ganeti/extstorage").iterdir()
    assert log.name.startswith("create-mine-u.ext.disk0-")
    assert log.suffix == ".log"
    assert log.read_text() == "to stdout\nto stderr\n"


def test_failure_has_the_last_lines(write: Write) -> None:
    provider = write({"create": "seq 100; exit 3", "attach": "exit 1"})
    with pytest.raises(BlockDeviceError) as caught:
        provider.create(VOLUME)
    text = str(caught.value)
    assert "script create of provider mine for volume u.ext.disk0 failed (exit code 3)" in text
    assert "\n100" in text
    assert "\n80\n" not in text


def test_signal_is_named(write: Write) -> None:
    with pytest.raises(BlockDeviceError, match="killed by signal 9"):
        write({"detach": "kill -9 $$"}).detach(VOLUME)


def test_script_that_never_ends(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TIMEOUT_VARIABLE, "2")
    provider = write({"attach": f"sleep 1000 & echo $! > {tmp_path}/child; wait"})
    with pytest.raises(BlockDeviceError, match=r"did not end within 2 seconds"):
        provider.attach(VOLUME)
    child = (tmp_path / "child").read_text().strip()
    wait_until(lambda: _ended(child), "the script's child survived", 10)


def _ended(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


def test_every_action_has_a_deadline() -> None:
    assert set(TIMEOUTS) == {*REQUIRED, *OPTIONAL} - {"verify"}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo hello", "line 1 is not an absolute path: 'hello'"),
        ("echo /etc/passwd", "line 1 is not the path of a block device"),
        ("echo /dev/null", "line 1 is not the path of a block device"),
        ("echo /no/such", "line 1 is not the path of a block device"),
        ("true", "neither a block device nor a URI"),
        ("echo; echo nonsense", "line 2 is not HYPERVISOR:URI: 'nonsense'"),
        ("echo; echo kvm:", "line 2 is not HYPERVISOR:URI"),
        ("echo; for i in $(seq 40); do echo h$i:u; done", "over 16 URIs"),
        ("head -c 200 /dev/urandom", "printed no usable answer"),
        ("yes", "printed more than 65536 bytes"),
    ],
)
def test_garbage_from_attach(write: Write, script: str, words: str) -> None:
    with pytest.raises(BlockDeviceError) as caught:
        write({"attach": script}).attach(VOLUME)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_attach_reads_uris(write: Write) -> None:
    provider = write({"attach": "echo; echo KVM:rbd:pool/vol; echo; echo xen:phy:x; echo note >&2"})
    device = provider.attach(VOLUME)
    assert device.path is None
    assert device.uris == {"kvm": "rbd:pool/vol", "xen": "phy:x"}


def test_missing_optional_scripts_are_left_out(write: Write) -> None:
    provider = write({})
    assert provider.describe().features == frozenset()
    provider.open(VOLUME, True)
    provider.close(VOLUME)


def test_one_of_open_and_close_suffices(write: Write) -> None:
    provider = write({"open": "exit 0"})
    assert provider.describe().features == {"open"}
    provider.close(VOLUME)


def test_remove_that_fails_counts_when_the_volume_is_gone(write: Write) -> None:
    write({"remove": "exit 1", "attach": "exit 1"}).remove(VOLUME)


def test_remove_that_fails_is_reported_when_the_volume_is_there(write: Write) -> None:
    provider = write({"remove": "echo busy; exit 1", "attach": "echo; echo kvm:x"})
    with pytest.raises(BlockDeviceError, match="busy"):
        provider.remove(VOLUME)


# -- finding and diagnosing ------------------------------------------------------------------------


def test_first_directory_wins(source: ScriptSource, tmp_path: Path, write: Write) -> None:
    write({})
    shutil.copytree(EXAMPLE, tmp_path / "usr/share/ganeti/extstorage/mine")
    shutil.copytree(EXAMPLE, tmp_path / "usr/lib/ganeti/extstorage/other")
    (tmp_path / "usr/lib/ganeti/extstorage/bad.name").mkdir()
    (tmp_path / "usr/lib/ganeti/extstorage/file").write_text("")
    assert source.names() == ["mine", "other"]
    assert source.location("mine") == f"{tmp_path}/srv/ganeti/extstorage/mine"
    assert source.location("nobody") == ""


def test_parameters_are_described(write: Write) -> None:
    provider = write({"parameters.list": "param1   Some help text\n\nbare\n"})
    parameters = provider.describe().parameters
    assert [(item.name, item.help) for item in parameters] == [
        ("param1", "Some help text"),
        ("bare", ""),
    ]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: shutil.rmtree(d), "Directory for External Storage Provider mine not found"),
        (lambda d: (d / "grow").unlink(), "File 'grow' under path '{}' is missing"),
        (lambda d: (d / "grow").chmod(0o644), "File 'grow' under path '{}' is not executable"),
        (
            lambda d: ((d / "verify").unlink(), (d / "verify").mkdir()),
            "File 'verify' under path '{}' is not a regular file",
        ),
        (
            lambda d: (d / "parameters.list").unlink(),
            "File 'parameters.list' under path '{}' is missing",
        ),
        (
            lambda d: (d / "parameters.list").write_bytes(b"\xff\xfe"),
            "Error while reading the EXT parameters file at {}/parameters.list",
        ),
        (
            lambda d: (d / "parameters.list").write_text("a=b help"),
            "Error while reading the EXT parameters file at {}/parameters.list: line 1",
        ),
    ],
)
def test_damage_is_diagnosed(
    write: Write,
    source: ScriptSource,
    tmp_path: Path,
    damage: Callable[[Path], object],
    words: str,
) -> None:
    write({})
    directory = tmp_path / "srv/ganeti/extstorage/mine"
    damage(directory)
    with pytest.raises(PluginError) as caught:
        source.load("mine")
    assert words.format(directory) in str(caught.value)


def test_name_that_is_a_path_is_not_found(source: ScriptSource) -> None:
    for name in ("../mine", "", "a b", "."):
        with pytest.raises(PluginError, match="not found in search path"):
            source.load(name)
