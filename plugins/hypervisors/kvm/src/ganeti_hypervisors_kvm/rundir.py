"""The files of running guests, laid out as upstream's.

Under `<run dir>/kvm-hypervisor`: `pid/<instance>`, `ctrl/<instance>.{monitor,serial,qmp}`,
`conf/<instance>.runtime` (what was started), `nic/<instance>/<number>` (the interface's name);
and `conf/<instance>.guest`, our own: the guest as the node was told, for disconnecting its NICs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Final

import msgspec

from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.objects import Guest
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.host import safe_name

SOCKET_PATH_LIMIT: Final = 107
MAX_LOG_BYTES: Final = 64 << 10
LOG_LINES: Final = 20
MAX_BYTES: Final = 1 << 20
SOCKETS: Final = ("monitor", "serial", "qmp", "qga")
PARTS: Final = ("pid", "uid", "ctrl", "conf", "nic", "chroot")


class RunDir:
    """Names, reading and writing of these files."""

    def __init__(self, paths: Paths) -> None:
        self.base = paths.run_dir / "kvm-hypervisor"
        self.logs = paths.log_dir / "kvm"

    def prepare(self) -> None:
        try:
            for part in PARTS:
                (self.base / part).mkdir(parents=True, exist_ok=True, mode=0o750)
            self.logs.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise HypervisorError(f"cannot make {error.filename}: {error.strerror}") from error

    # -- names -----------------------------------------------------------------------------------

    def pid(self, name: str) -> Path:
        return self.base / "pid" / safe_name(name)

    def control(self, name: str, kind: str) -> Path:
        """A socket: kind is monitor, serial or qmp."""
        path = self.base / "ctrl" / f"{safe_name(name)}.{kind}"
        if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
            raise HypervisorError(
                f"{path} is too long for a socket ({SOCKET_PATH_LIMIT} bytes);"
                " use a shorter instance name or root directory"
            )
        return path

    def runtime(self, name: str) -> Path:
        return self.base / "conf" / f"{safe_name(name)}.runtime"

    def guest(self, name: str) -> Path:
        return self.base / "conf" / f"{safe_name(name)}.guest"

    def nics(self, name: str) -> Path:
        return self.base / "nic" / safe_name(name)

    def log(self, name: str) -> Path:
        return self.logs / f"{safe_name(name)}.log"

    def chroot(self, name: str) -> Path:
        return self.base / "chroot" / safe_name(name)

    def log_size(self, name: str) -> int:
        try:
            return self.log(name).stat().st_size
        except OSError:
            return 0  # QEMU has said nothing so far

    def log_since(self, name: str, position: int) -> str:
        """The last lines of what QEMU wrote to its log from a position on."""
        try:
            with self.log(name).open("rb") as stream:
                stream.seek(position)
                text = stream.read(MAX_LOG_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-LOG_LINES:])

    # -- contents --------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Instances that were started and not cleaned up, sorted."""
        try:
            return sorted(
                item.name for item in (self.base / "pid").iterdir() if item.name[0] != "."
            )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise HypervisorError(f"cannot list {self.base}/pid: {error.strerror}") from error

    def read_pid(self, name: str) -> int | None:
        """The number in the pid file; None when there is none or it is no number."""
        try:
            text = self.pid(name).read_bytes()[:32].decode("ascii", "replace").strip()
        except OSError:
            return None
        return int(text) if text.isdecimal() else None

    def save(self, guest: Guest, argv: list[str]) -> None:
        write(self.guest(guest.name), msgspec.json.encode(guest))
        write(self.runtime(guest.name), msgspec.json.encode(runtime(guest, argv)))

    def load(self, name: str) -> Guest | None:
        """The guest as it was started; None when that is not known."""
        try:
            data = self.guest(name).read_bytes()
            return msgspec.json.decode(data[:MAX_BYTES], type=Guest)
        except (OSError, msgspec.MsgspecError):
            return None

    def save_interface(self, name: str, index: int, interface: str) -> None:
        self.nics(name).mkdir(parents=True, exist_ok=True)
        write(self.nics(name) / str(index), interface.encode())

    def interfaces(self, name: str) -> dict[int, str]:
        """NIC number -> interface, as recorded."""
        found = {}
        with contextlib.suppress(OSError):  # none were made, or they are gone
            for item in self.nics(name).iterdir():
                if item.name.isdecimal():
                    found[int(item.name)] = item.read_text()[:64].strip()
        return found

    def forget(self, name: str) -> None:
        """Remove all files of a guest that does not run any more."""
        files = [self.control(name, kind) for kind in SOCKETS]
        shutil.rmtree(self.nics(name), ignore_errors=True)
        with contextlib.suppress(OSError):
            self.chroot(name).rmdir()
        # The pid file last: until then the guest is found again and cleaned up.
        files += [self.runtime(name), self.guest(name)]
        for path in (*files, *map(unfinished, files), self.pid(name)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise HypervisorError(f"cannot remove {path}: {error.strerror}") from error


def runtime(guest: Guest, argv: list[str]) -> list[object]:
    """Upstream's runtime file: command, NICs, hypervisor parameters, [disk, link, URI] each."""
    nics = [
        {
            "mac": nic.mac,
            "ip": nic.ip,
            "uuid": nic.uuid,
            "name": nic.name,
            "network": nic.network.uuid if nic.network else None,
            "nicparams": {"mode": nic.mode, "link": nic.link, "vlan": nic.vlan},
        }
        for nic in guest.nics
    ]
    disks = [
        [
            {
                "uuid": disk.uuid,
                "dev_type": disk.dev_type,
                "logical_id": disk.logical_id,
                "size": disk.size,
                "mode": disk.mode,
                "name": disk.name,
                "params": disk.params,
            },
            disk.device.path or "",
            disk.device.uris.get("kvm"),
        ]
        for disk in guest.disks
    ]
    return [argv, nics, guest.hvparams, disks]


def unfinished(path: Path) -> Path:
    """Where a file is written before it is put in place; always the same, so nothing piles up."""
    return path.with_name(f".{path.name}.new")


def write(path: Path, data: bytes) -> None:
    """Put a file in place whole or not at all."""
    try:
        unfinished(path).write_bytes(data)
        unfinished(path).replace(path)
    except OSError as error:
        raise HypervisorError(f"cannot write {path}: {error.strerror}") from error
