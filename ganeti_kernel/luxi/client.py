"""The client of the master daemon: what commands and other programs use. Synchronous and light."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ganeti_kernel.errors import LuxiError
from ganeti_kernel.jobs.sockets import short_address
from ganeti_kernel.luxi.codec import END, MAX_REPLY, decode_reply, encode_request
from ganeti_kernel.paths import Paths

CONNECT_TIMEOUT: Final = 30.0
CALL_TIMEOUT: Final = 180.0
"""Seconds, as upstream 3.0's."""

WAIT_TIMEOUT: Final = 60.0
"""Seconds that one WaitForJobChange waits on the server."""

SOCKET_VARIABLE: Final = "FORCE_LUXI_SOCKET"

NO_CHANGE: Final = "nochange"

Opcode = Mapping[str, Any]


def socket_path(paths: Paths) -> Path:
    """The socket to use: `FORCE_LUXI_SOCKET` is "master", "query" or a path (upstream 3.0)."""
    wanted = os.environ.get(SOCKET_VARIABLE) or "master"
    if wanted == "master":
        return paths.master_socket
    if wanted == "query":
        return paths.query_socket
    return Path(wanted)


class Client:
    """One connection to the master daemon. Methods raise what the daemon raised, or LuxiError."""

    def __init__(self, path: Path | str | None = None, *, timeout: float = CALL_TIMEOUT) -> None:
        """Connect; raises LuxiError that says where and what to do."""
        self._path = Path(path) if path else socket_path(Paths.from_environment())
        self._timeout = timeout
        self._rest = b""
        self._socket: socket.socket | None = self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._rest = b""

    def call(self, method: str, args: Sequence[Any] = ()) -> Any:
        """Call a method by its LUXI name and return its result."""
        frame = encode_request(method, list(args))
        try:
            if self._socket is None:
                self._socket = self._connect()
            self._socket.sendall(frame)
            data = self._read()
        except TimeoutError:
            self.close()
            raise LuxiError(
                f"the master daemon did not answer {method} within {self._timeout:g} seconds"
            ) from None
        except OSError as error:
            self.close()
            raise LuxiError(
                f"the connection to the master daemon broke during {method}: {error}"
            ) from error
        return decode_reply(data)

    # -- jobs ----------------------------------------------------------------------------------

    def submit_job(self, ops: Sequence[Opcode]) -> int:
        return int(self.call("SubmitJob", [list(ops)]))

    def submit_many_jobs(self, jobs: Sequence[Sequence[Opcode]]) -> list[tuple[bool, Any]]:
        """Return (True, job id) or (False, why not) for each."""
        return [
            (bool(ok), value)
            for ok, value in self.call("SubmitManyJobs", [[list(ops) for ops in jobs]])
        ]

    def wait_for_job_change(
        self,
        job_id: int,
        fields: Sequence[str],
        previous: Sequence[Any] | None,
        log_serial: int | None,
        timeout: float = WAIT_TIMEOUT,
    ) -> tuple[list[Any], list[list[Any]]] | None:
        """Return (field values, new log entries) once something is new; None: nothing yet.

        A log entry is [serial, [seconds, microseconds], type, message]. Raises JobLost.
        """
        answer = self.call(
            "WaitForJobChange", [job_id, list(fields), previous, log_serial, timeout]
        )
        if answer == NO_CHANGE:
            return None
        info, entries = answer
        return list(info), list(entries or ())

    def cancel_job(self, job_id: int, kill: bool = False) -> tuple[bool, str]:
        ok, message = self.call("CancelJob", [job_id, kill])
        return bool(ok), str(message)

    def query_jobs(
        self, ids: Sequence[int] | None, fields: Sequence[str]
    ) -> list[list[Any] | None]:
        """Return one row a job; None for a job that is lost."""
        rows: list[list[Any] | None] = self.call("QueryJobs", [ids and list(ids), list(fields)])
        return rows

    # -- queries -------------------------------------------------------------------------------

    def query(self, what: str, fields: Sequence[str], qfilter: Any = None) -> dict[str, Any]:
        """Return {"fields": [definition…], "data": [[[status, value]…]…]}."""
        answer: dict[str, Any] = self.call("Query", [what, list(fields), qfilter])
        return answer

    def query_fields(self, what: str, fields: Sequence[str] | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = self.call("QueryFields", [what, fields and list(fields)])
        return answer

    def query_cluster_info(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.call("QueryClusterInfo")
        return answer

    def query_config_values(self, fields: Sequence[str]) -> list[Any]:
        return list(self.call("QueryConfigValues", [list(fields)]))

    def query_tags(self, kind: str, name: str = "") -> list[str]:
        return list(self.call("QueryTags", [kind, name]))

    # -- the connection ------------------------------------------------------------------------

    def _connect(self) -> socket.socket:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            line.settimeout(CONNECT_TIMEOUT)
            with short_address(self._path) as address:
                line.connect(address)
        except OSError as error:
            line.close()
            raise LuxiError(
                f"cannot reach the master daemon at {self._path} ({error.strerror or error}); "
                "is this the master node, and does ganeti-masterd run?"
            ) from error
        line.settimeout(self._timeout)
        return line

    def _read(self) -> bytes:
        assert self._socket is not None
        parts, size = [self._rest], len(self._rest)
        while END not in parts[-1]:
            data = self._socket.recv(1 << 18)
            if not data:
                raise ConnectionError("it was closed")
            size += len(data)
            if size > MAX_REPLY:
                raise ConnectionError(f"the reply has more than {MAX_REPLY} bytes")
            parts.append(data)
        text, _, self._rest = b"".join(parts).partition(END)
        return text
