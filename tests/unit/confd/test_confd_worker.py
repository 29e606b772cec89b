"""What a worker process says is in the daemon's log."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from ganeti_kernel.confd.worker import _relay

SPEAKER = """
import sys
for text in ("INFO it serves", "WARNING it is slow", "Traceback (most recent)", "x" * 200_000, ""):
    print(text, file=sys.stderr)
"""


def test_lines_of_a_worker_keep_their_level(caplog: pytest.LogCaptureFixture) -> None:
    async def speak() -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SPEAKER, stderr=asyncio.subprocess.PIPE
        )
        await _relay(process)
        await process.wait()
        return process.pid

    caplog.set_level(logging.INFO)
    pid = asyncio.run(speak())
    told = [(item.levelname, item.getMessage()) for item in caplog.records if "pid=" in item.msg]
    assert told[:3] == [
        ("INFO", f"pid={pid} it serves"),
        ("WARNING", f"pid={pid} it is slow"),
        ("ERROR", f"pid={pid} Traceback (most recent)"),
    ]
