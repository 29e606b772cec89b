"""A master daemon that is asked about a made-up cluster and given jobs; for programs over LUXI.

It answers queries from a table of records and writes down the jobs that it gets. A job's status is
the table's, or "success" at once.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

END = b"\x03"
FIRST_JOB = 100
NORMAL, UNAVAILABLE = 0, 2


@dataclass
class Scene:
    """What the master knows. Records of nodes, instances and groups by query field; `info` the
    cluster's; `statuses` those of old jobs; jobs with an opcode of `refused` are turned away, those
    with one of `failing` fail; `gone` is a job that the queue no longer has."""

    node: list[dict[str, Any]]
    instance: list[dict[str, Any]]
    group: list[dict[str, Any]]
    info: dict[str, Any]
    statuses: dict[int, str] = field(default_factory=dict)
    refused: str = ""
    failing: str = ""
    gone: int | None = None


class LuxiMaster:
    """Serves one scene on a socket; `asked` are the submissions and the questions about jobs."""

    def __init__(self, scene: Scene, path: Path) -> None:
        self.path = path
        self.asked: list[Any] = []
        self._scene = scene
        self._statuses = dict(scene.statuses)
        self._next = FIRST_JOB
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Stop; every client must have gone."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        rest = b""
        with client:
            while data := client.recv(1 << 16):
                *messages, rest = (rest + data).split(END)
                for message in messages:
                    question = json.loads(message)
                    result = self._answer(question["method"], question["args"])
                    client.sendall(json.dumps({"success": True, "result": result}).encode() + END)

    def _answer(self, method: str, args: list[Any]) -> Any:
        if method == "Query":
            rows = [
                [[NORMAL, record[name]] if name in record else [UNAVAILABLE, None]
                 for name in args[1]]
                for record in getattr(self._scene, args[0])
            ]  # fmt: skip
            fields = [{"name": f, "title": f, "kind": "unknown", "doc": f} for f in args[1]]
            return {"fields": fields, "data": rows}
        if method == "QueryClusterInfo":
            return self._scene.info
        self.asked.append([method, args])
        if method == "SubmitManyJobs":
            return [self._take(job) for job in args[0]]
        assert method == "QueryJobs", method
        return [
            None if job == self._scene.gone else [self._statuses.get(job, "success")]
            for job in args[0]
        ]

    def _take(self, job: list[dict[str, Any]]) -> list[Any]:
        kinds = {step["OP_ID"] for step in job}
        if self._scene.refused in kinds:
            return [False, "the queue is drained"]
        if self._scene.failing in kinds:
            self._statuses[self._next] = "error"
        self._next += 1
        return [True, self._next - 1]


@contextlib.contextmanager
def serving(scene: Scene) -> Iterator[LuxiMaster]:
    """Serve a scene on a socket of its own."""
    folder = Path(tempfile.mkdtemp(prefix="luxi-"))  # a socket's path must be short
    master = LuxiMaster(scene, folder / "master")
    try:
        yield master
    finally:
        master.close()
        shutil.rmtree(folder)
