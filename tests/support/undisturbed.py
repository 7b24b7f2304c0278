"""A recording server beside launches of other tests: each asks every listener who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.launch.recorder import RecordingServer

if TYPE_CHECKING:
    from guard.launch.recorder import Exchange, Request


class UndisturbedServer(RecordingServer):
    """Records and answers what is meant for it. Its kinds say in `reply_to` how."""

    def record(self, request: Request) -> None:
        if not _is_a_look(request):
            super().record(request)

    def answer(self, request: Request, exchange: Exchange) -> None:
        if _is_a_look(request):
            exchange.close_connection = True
        else:
            self.reply_to(request, exchange)

    def reply_to(self, request: Request, exchange: Exchange) -> None:
        raise NotImplementedError


def _is_a_look(request: Request) -> bool:
    """By what guard/proxies/fingerprint.py sends; the client of Portkey names its version."""
    return request.header("user-agent") == "routeguard"
