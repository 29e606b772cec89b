"""The archive format of initial RAM disks ("newc" of cpio), written without outside programs."""

from __future__ import annotations

import gzip
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory or symbolic link; `mode` as in stat, `data` a link's target for links."""

    name: str
    mode: int
    data: bytes = b""


def directory(name: str) -> Entry:
    return Entry(name, stat.S_IFDIR | 0o755)


def file(name: str, data: bytes, *, executable: bool = False) -> Entry:
    return Entry(name, stat.S_IFREG | (0o755 if executable else 0o644), data)


def link(name: str, target: str) -> Entry:
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def archive(entries: Iterable[Entry]) -> bytes:
    """Return the archive, gzip compressed; the same entries, the same bytes."""
    return gzip.compress(b"".join(_records(entries)), compresslevel=6, mtime=0)


def _records(entries: Iterable[Entry]) -> Iterator[bytes]:
    for number, entry in enumerate((*entries, Entry("TRAILER!!!", 0)), 1):
        name = entry.name.encode() + b"\0"
        # inode, mode, uid, gid, links, mtime, size, device (2), real device (2), name, checksum
        fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, 0, 0, len(name), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        yield _padded(header + name)
        yield _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
