"""HTTP as uvicorn speaks it, told not to wait."""

import asyncio
import socket

from uvicorn.protocols.http.auto import AutoHTTPProtocol


class Prompt(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Connections whose answers leave at once.

    asyncio sees to that only for sockets it opened itself, and workers share one that is handed to them: there a second
    write, such as the body after its head, waited some 40 ms for the client to acknowledge the first.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Switch Nagle's algorithm off."""
        found = transport.get_extra_info("socket")
        if found is not None and found.family in (socket.AF_INET, socket.AF_INET6):
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
