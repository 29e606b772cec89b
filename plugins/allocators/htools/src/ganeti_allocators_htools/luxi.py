"""A client of LUXI, the master's protocol: JSON messages ended by ETX on a Unix socket.

Blocking, bounded in time and size. Two sockets: queries go to ``ganeti-query``, jobs to
``ganeti-master``; ``GANETI_ROOTDIR`` puts both under another root.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Collection
from types import TracebackType
from typing import Any, Self

from .errors import HtoolsError

_END = b"\x03"
MAX_BYTES = 512 * 1024 * 1024
TIMEOUT = 60.0


def default_socket(name: str = "ganeti-query") -> str:
    """Path of the socket ``name`` on this machine."""
    root = os.environ.get("GANETI_ROOTDIR", "").rstrip("/")
    return f"{root}/var/run/ganeti/socket/{name}"


def master_socket(path: str) -> str:
    """Where to submit jobs: ``path``, or by default the master's socket if there is one."""
    master = default_socket("ganeti-master")
    return path or (master if os.path.exists(master) else default_socket())


class LuxiError(HtoolsError):
    """The master could not be reached, or refused the request."""


class Client:
    """One connection; a context manager."""

    def __init__(self, path: str, timeout: float = TIMEOUT) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._rest = b""
        try:
            self._socket.connect(path)
        except OSError as err:
            self._socket.close()
            raise LuxiError(f"cannot connect to {path}: {err.strerror or err}") from err

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def call(self, method: str, *args: Any) -> Any:
        """The result of one request; raises `LuxiError`."""
        message = json.dumps({"method": method, "args": list(args)}).encode() + _END
        try:
            self._socket.sendall(message)
            answer = json.loads(self._read())
        except (OSError, ValueError) as err:
            raise LuxiError(f"{method}: {err}") from err
        if not isinstance(answer, dict) or "result" not in answer:
            raise LuxiError(f"{method}: the answer is not a LUXI response")
        if answer.get("success") is not True:
            raise LuxiError(f"{method}: {answer['result']}")
        return answer["result"]

    def _read(self) -> bytes:
        parts = [self._rest]
        size = len(self._rest)
        while _END not in parts[-1]:
            data = self._socket.recv(1 << 20)
            if not data:
                raise OSError("the master closed the connection")
            parts.append(data)
            size += len(data)
            if size > MAX_BYTES:
                raise OSError(f"answer longer than {MAX_BYTES} bytes")
        answer, _, self._rest = b"".join(parts).partition(_END)
        return answer

    def query(self, resource: str, fields: Collection[str]) -> list[dict[str, Any]]:
        """All objects of a resource as records of these fields; unavailable values are None."""
        result = self.call("Query", resource, list(fields), None)
        if not isinstance(result, dict) or not isinstance(result.get("data"), list):
            raise LuxiError(f"Query {resource}: unexpected answer")
        records = []
        for row in result["data"]:
            if not isinstance(row, list) or len(row) != len(fields):
                raise LuxiError(f"Query {resource}: a row has the wrong number of fields")
            records.append(
                {
                    field: cell[1] if cell[0] == 0 else None
                    for field, cell in zip(fields, row, strict=True)
                }
            )
        return records
