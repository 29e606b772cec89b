"""Why mond's server is written by hand: the same few bytes by aiohttp's and by ours.

    python benchmarks/bench_mond_server.py [--seconds S]

Each server runs in a process of its own and answers `/1/list/collectors` out of memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable

BODY = b'[["cpu-avg-load","default",0],["diskstats","storage",0],["lv","storage",0]]'
PATH = "/1/list/collectors"
ROUNDS = 3


def application(port: int) -> None:
    """aiohttp with a router, as its documentation shows it."""
    from aiohttp import web

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=BODY, content_type="application/json")

    async def main() -> None:
        app = web.Application()
        app.router.add_get(PATH, answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()

    run(main)


def bare(port: int) -> None:
    """aiohttp's protocol with one handler and nothing around it."""
    from aiohttp import web

    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=BODY, content_type="application/json")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_server(web.Server(answer, access_log=None), "127.0.0.1", port)
        await asyncio.Event().wait()

    run(main)


def ours(port: int) -> None:
    from ganeti_kernel.mond.http import Answer, Server

    async def main() -> None:
        await Server(lambda _request: Answer(BODY, lasting=True), lambda: 0).start(
            "127.0.0.1", port
        )
        await asyncio.Event().wait()

    run(main)


def run(main: Callable[[], object]) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())  # type: ignore[arg-type] # a coroutine


SERVERS = {"aiohttp application": application, "aiohttp bare server": bare, "mond's": ours}


def rate(port: int, seconds: float) -> float:
    url = f"http://127.0.0.1:{port}{PATH}"
    done = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds:g}s", url], capture_output=True, text=True, check=True
    )
    match = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    assert match is not None, done.stdout
    return float(match[1])


def wait_for(port: int) -> None:
    for _attempt in range(100):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}{PATH}", timeout=1).close()
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing answers on port {port}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each load")
    parser.add_argument("--check", action="store_true", help="accepted; nothing has a mark here")
    seconds = parser.parse_args().seconds
    if shutil.which("wrk") is None:
        print("left out: wrk is not installed")
        return 0
    context = multiprocessing.get_context("spawn")
    processes = []
    try:
        ports = {}
        for index, (name, server) in enumerate(SERVERS.items()):
            ports[name] = 18180 + index
            process = context.Process(target=server, args=(ports[name],), daemon=True)
            process.start()
            processes.append(process)
            wait_for(ports[name])
        rates: dict[str, list[float]] = {name: [] for name in SERVERS}
        for _round in range(ROUNDS):
            for name, port in ports.items():
                rates[name].append(rate(port, seconds))
        for name, values in rates.items():
            print(f"{name:24} {statistics.median(values):12,.0f} requests/s")
    finally:
        for process in processes:
            process.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
