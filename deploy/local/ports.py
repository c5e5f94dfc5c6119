"""Who may listen where: a port that is taken is found before anything is started."""

import asyncio
import contextlib
import socket

from deploy.local.errors import LocalStackError


def refuse_used(ports: dict[str, int]) -> None:
    """Raise LocalStackError naming the first port (by what needs it) that another process listens on."""
    for name, port in ports.items():
        if not is_free(port):
            raise LocalStackError(
                f"Port {port}, which {name} needs, is used by another process: stop that one, "
                "or set THRESHOLD_PORT_BASE to move the whole stack."
            )


def is_free(port: int) -> bool:
    """Say whether this machine's loopback port can be listened on now."""
    with socket.socket() as probe:
        # As servers do: a connection of an earlier run that is still in TIME_WAIT does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def answers(port: int) -> bool:
    """Say whether something accepts connections on this machine's loopback port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return True
