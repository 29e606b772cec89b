"""Which bytes a URL stands for. Paths, answers and texts: upstream 3.0; `/metrics`, `/healthz`,
`?fresh=1`, `?verbose=1` of the list, and the page for browsers are ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import msgspec

from ganeti_kernel.mond import exposition, page
from ganeti_kernel.mond.board import ACTIVE, Board, Standing
from ganeti_kernel.mond.http import TEXT, Answer, Request

VERSIONS: Final = b"[1]"
NOT_FOUND: Final = Answer(b"Resource not found", TEXT, "404 Not found")
NO_REPORT: Final = b"Unable to produce a report for the requested resource"
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
HTML_TYPE: Final = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Routes:
    """Answers requests out of a board.

    `refresh(names)` has these collectors (all for None) make new reports; `want_metrics()` says
    that somebody reads metrics and returns whether all are there; `own()` are the daemon's
    numbers.
    """

    board: Board
    node_name: str
    refresh: Callable[[Sequence[str] | None], Awaitable[None]]
    want_metrics: Callable[[], bool]
    own: Callable[[], exposition.Own]

    def handle(self, request: Request) -> Answer | Awaitable[Answer]:
        """Answer a request at once, or later when something has to be collected first."""
        path = request.path.rstrip("/") if request.path != "/" else "/"
        handler = self._table().get(path)
        if handler is not None:
            return handler(request)
        if path == "/1/report" or path.startswith("/1/report/"):
            return self._one(path, request)
        return NOT_FOUND

    def _table(self) -> dict[str, Callable[[Request], Answer | Awaitable[Answer]]]:
        return {
            "/": self._root,
            "/1": lambda _request: Answer(b"null", lasting=True),
            "/1/list/collectors": self._list,
            "/1/report/all": self._all,
            "/metrics": lambda _request: self._metrics(),
            "/healthz": lambda _request: self._health(),
        }

    def _root(self, request: Request) -> Answer:
        if prefers_html(request.headers.get("accept", "")):
            body = page.render(self.node_name, list(self.board)).encode("utf-8", "replace")
            return Answer(body, HTML_TYPE, headers=(("vary", "accept"), *page.HEADERS))
        return Answer(VERSIONS, lasting=True, headers=(("vary", "accept"),))

    def _list(self, request: Request) -> Answer:
        if flag(request.query, "verbose"):
            return Answer(msgspec.json.encode([item.summary() for item in self.board]))
        return Answer(self.board.list_active(), lasting=True)

    def _all(self, request: Request) -> Answer | Awaitable[Answer]:
        if flag(request.query, "fresh"):
            return self._all_fresh()
        return Answer(self.board.all_reports(), lasting=True)

    async def _all_fresh(self) -> Answer:
        await self.refresh(None)
        return Answer(self.board.all_reports())

    def _one(self, path: str, request: Request) -> Answer | Awaitable[Answer]:
        parts = [unquote(part) for part in path.split("/")[3:]]
        standing = self.board.find(*parts) if len(parts) == 2 else None
        if standing is None:
            return Answer(NO_REPORT, TEXT, "404 Not found")
        if flag(request.query, "fresh"):
            return self._one_fresh(standing)
        return _report(standing)

    async def _one_fresh(self, standing: Standing) -> Answer:
        await self.refresh([standing.identity.name])
        return _report(standing)

    def _metrics(self) -> Answer | Awaitable[Answer]:
        if self.want_metrics():
            return self._metrics_now()
        return self._metrics_fresh()

    async def _metrics_fresh(self) -> Answer:
        """The first reader after a while: the reports in memory were made without metrics."""
        await self.refresh(None)
        return self._metrics_now()

    def _metrics_now(self) -> Answer:
        return Answer(exposition.text(self.board, self.own()).encode(), METRICS_TYPE)

    def _health(self) -> Answer:
        standings = [item.summary() for item in self.board]
        failing = sorted(item["name"] for item in standings if not item["ok"])
        body: dict[str, Any] = {
            "status": "degraded" if failing else "ok",
            "node": self.node_name,
            "failing": failing,
            "collectors": standings,
        }
        return Answer(msgspec.json.encode(body))


def _report(standing: Standing) -> Answer:
    if standing.serves and standing.report is not None:
        return Answer(standing.report, lasting=True)
    reason = standing.reason or "it has not made one yet"
    body = (
        NO_REPORT + f"\ncollector {standing.identity.name} is {standing.state}: {reason}".encode()
    )
    code = "404 Not found" if standing.state != ACTIVE else "503 Service Unavailable"
    return Answer(body, TEXT, code)


def flag(query: str, name: str) -> bool:
    """Whether `?name=1` (or any value but 0, false, no) is in the query."""
    if name not in query:
        return False
    values = parse_qs(query, keep_blank_values=True, max_num_fields=20).get(name)
    return values is not None and values[-1].lower() not in ("0", "false", "no")


def prefers_html(accept: str) -> bool:
    """Whether a client names HTML before JSON, as browsers do; programs accept anything."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if "text/html" not in kinds:
        return False
    return "application/json" not in kinds or kinds.index("text/html") < kinds.index(
        "application/json"
    )
