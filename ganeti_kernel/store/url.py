"""The URL of a file that holds a store: `sqlite:///var/lib/ganeti/store.sqlite`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ganeti_kernel.errors import StoreError


def scheme(url: str) -> str:
    """Return the name of the backend that serves the URL; raises StoreError without one."""
    name = urlsplit(url).scheme
    if not name:
        raise StoreError(f"store URL {url!r} has no scheme; write for example sqlite:///PATH")
    return name


def file_path(url: str) -> Path:
    """Return the absolute path in a file store's URL; raises StoreError for anything else."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc or parts.query or parts.fragment or not path.startswith("/") or "\0" in path:
        raise StoreError(
            f"store URL {url!r} does not name a file; write {parts.scheme}:///ABSOLUTE/PATH"
        )
    return Path(path)


def file_url(name: str, path: Path) -> str:
    """Return the URL of a file store; `name` is the backend's."""
    return f"{name}://{quote(str(path))}"
