"""Talking to a running QEMU: one connection for each conversation, each with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from qemu.qmp import QMPClient, QMPError

from ganeti_kernel.errors import HypervisorError

TIMEOUT: Final = 5.0
"""Seconds for a whole conversation; QEMU serves one client of a socket at a time."""

RETRY: Final = 0.05

Command = tuple[str, Mapping[str, object]]
T = TypeVar("T")


def execute(
    socket: Path,
    name: str,
    *commands: Command,
    timeout: float = TIMEOUT,
    patient: bool = False,
) -> list[Any]:
    """Run commands in turn and return their answers.

    `patient`: a socket that is not there yet is waited for, within the time.
    Raises HypervisorError that names the instance and the command that failed.
    """
    return _run(_converse(socket, name, commands, timeout, patient))


async def _converse(
    socket: Path, name: str, commands: Sequence[Command], timeout: float, patient: bool
) -> list[Any]:
    client = QMPClient(name)
    # What the library logs of a lost connection is in the error that is raised.
    client.logger.setLevel("CRITICAL")
    current = "connection"
    answers = []
    try:
        async with asyncio.timeout(timeout):
            while patient and not await _listens(socket):
                await asyncio.sleep(RETRY)
            await client.connect(str(socket))
            for current, arguments in commands:
                answers.append(await client.execute(current, dict(arguments)))
    except TimeoutError:
        raise HypervisorError(
            f"QEMU of instance {name} did not answer within {timeout:g} seconds ({current})"
        ) from None
    except (QMPError, OSError, EOFError) as error:
        raise HypervisorError(f"QEMU of instance {name} refused {current}: {error}") from error
    finally:
        with contextlib.suppress(Exception):  # whatever the end of the connection is, it has ended
            async with asyncio.timeout(1.0):
                await client.disconnect()
    return answers


async def _listens(socket: Path) -> bool:
    """Say whether anybody answers there, without taking QEMU's one connection for long."""
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run in an event loop of its own, also when the caller's thread runs one already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    outcome: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(asyncio.run(work))
        except BaseException as error:  # handed over to the thread that waits
            failure.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
