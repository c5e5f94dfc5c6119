"""Runs one service as a process: `python -m services.kit.process governance --port 7001`."""

import gc
import importlib
import sys
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from typing import Final

import uvicorn

from services.kit.streaming import Connection, StreamingServer

NOT_STARTED: Final = 3  # the exit code of uvicorn's own command
LOOKED_FOR_EVERY: Final = (20_000, 20, 50)  # new objects; looks at the youngest; looks at the middle-aged
NEVER_LOADED: Final = ("pygments", "rich")
"""What libraries load if it is there, to colour what a person reads in a terminal. A service writes JSON lines, and
these would be 8 MB of each and a twelfth of its start."""


def main() -> None:
    """Run the service that the command line names until it is told to stop."""
    parser = ArgumentParser(prog="python -m services.kit.process", description=main.__doc__)
    parser.add_argument("service", help="the name of its package in services/")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--graceful-shutdown", type=int, default=5, help="seconds that open requests have to end")
    server = _loaded(parser.parse_args())
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(NOT_STARTED)


def _loaded(asked: Namespace) -> StreamingServer:
    sys.modules |= dict.fromkeys(NEVER_LOADED)  # type: ignore[arg-type]  # None: "there is no such module"
    # What is loaded stays for good: looking through it for garbage is a seventh of the start, and a part of each later
    # look.
    gc.disable()
    app = importlib.import_module(f"services.{asked.service}.app").create_app()
    config = uvicorn.Config(
        app,
        host=asked.host,
        port=asked.port,
        http=Connection,
        loop="uvloop",
        access_log=False,
        log_config=None,  # services.kit.logs sets up the one format that all services share
        timeout_graceful_shutdown=asked.graceful_shutdown,
    )
    config.load()
    gc.freeze()
    # Requests and records come and go by the thousand, and few leave garbage that only a look finds.
    gc.set_threshold(*LOOKED_FOR_EVERY)
    gc.enable()
    return StreamingServer(config, app.state.stopping.set)


if __name__ == "__main__":
    main()
