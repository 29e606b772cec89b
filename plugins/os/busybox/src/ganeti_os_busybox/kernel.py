"""A kernel and an initial RAM disk for busybox guests: `python -m ganeti_os_busybox.kernel [DIR]`.

Debian's cloud kernel is fetched with apt and unpacked, not installed. The RAM disk holds
busybox and the modules for virtual hardware; it hands over to the guest's first disk, or offers a
prompt itself when there is none. What is in DIR already is kept. The exit code is 3 when a
package could not be downloaded, 1 for every other error.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from ganeti_os_busybox import BusyboxError, CannotFetch, cpio, debian, modules, programs

METAPACKAGE = "linux-image-cloud-amd64"
PREFIX = "linux-image-"
KERNEL = "vmlinuz"
INITRD = "initrd.gz"
APPLETS = ("sh", "mount", "umount", "insmod", "switch_root", "sleep", "cat", "hostname")


def prepare(directory: Path, package: Path | None = None) -> tuple[Path, Path]:
    """Return (kernel, initial RAM disk) in `directory`, made now if they are not there.

    `package` is a kernel package to use instead of fetching one. Raises BusyboxError.
    """
    kernel, initrd = directory / KERNEL, directory / INITRD
    if kernel.is_file() and initrd.is_file():
        return kernel, initrd
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".work-", dir=directory) as name:
            work = Path(name)
            tree = work / "tree"
            debian.unpack(package or _fetch_kernel(work), tree)
            image = _only(tree, "boot/vmlinuz-*")
            library = _only(tree, "lib/modules/*", "usr/lib/modules/*")
            (work / INITRD).write_bytes(
                cpio.archive(initrd_entries(programs.busybox(), modules.collect(library)))
            )
            shutil.copyfile(image, work / KERNEL)
            # The kernel last: both are there when it is.
            (work / INITRD).replace(initrd)
            (work / KERNEL).replace(kernel)
    except OSError as error:
        raise BusyboxError(f"cannot write {error.filename}: {error.strerror}") from error
    return kernel, initrd


def cache_directory() -> Path:
    """Where a user keeps what this code made once: another version of it has another place."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "ganeti-os-busybox" / _own_digest()


def _own_digest() -> str:
    """A digest of what makes the files: this package's modules and the RAM disk's script."""
    digest = hashlib.sha256()
    own = (item for item in resources.files(__package__).iterdir() if item.is_file())
    for item in sorted(own, key=lambda item: item.name):
        data = item.read_bytes()
        digest.update(f"{item.name} {len(data)}\n".encode() + data)
    return digest.hexdigest()[:16]


def initrd_entries(busybox: bytes, loaded: Sequence[tuple[str, bytes]]) -> list[cpio.Entry]:
    """The RAM disk's content; `/modules/list` names the modules in the order they load."""
    init = resources.files(__package__).joinpath("init.sh").read_bytes()
    names = ("bin", "dev", "proc", "sys", "root", "newroot", "modules")
    listing = "".join(f"{name}.ko\n" for name, _ in loaded)
    return [
        *(cpio.directory(name) for name in names),
        cpio.file("init", init, executable=True),
        cpio.file("bin/busybox", busybox, executable=True),
        *(cpio.link(f"bin/{applet}", "busybox") for applet in APPLETS),
        cpio.file("modules/list", listing.encode()),
        *(cpio.file(f"modules/{name}.ko", data) for name, data in loaded),
    ]


def _fetch_kernel(work: Path) -> Path:
    """The package that Debian's metapackage stands for."""
    meta = debian.fetch(METAPACKAGE, work)
    name = debian.parse_dependency(debian.depends(meta), PREFIX)
    if name is None:
        raise BusyboxError(f"{METAPACKAGE} names no kernel package")
    return debian.fetch(name, work)


def _only(tree: Path, *patterns: str) -> Path:
    found = sorted({path for pattern in patterns for path in tree.glob(pattern)})
    if len(found) != 1:
        raise BusyboxError(f"the kernel package holds {len(found)} of {' or '.join(patterns)}")
    return found[0]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ganeti_os_busybox.kernel",
        description="Make a kernel and an initial RAM disk for busybox guests.",
    )
    parser.add_argument(
        "directory",
        type=Path,
        nargs="?",
        default=cache_directory(),
        help=f"where {KERNEL} and {INITRD} go (default: {cache_directory()})",
    )
    parser.add_argument("--package", type=Path, help="a kernel package (.deb) to use")
    options = parser.parse_args(argv)
    try:
        for path in prepare(options.directory, options.package):
            print(path)
    except BusyboxError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3 if isinstance(error, CannotFetch) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
