"""`make demo`: the example on SQLite, in this one process."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from asgi_example import ports
from asgi_example.processes import foreground

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    import uvicorn

__all__ = ("main",)

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the database and serve until interrupted, which is no error."""
    port = read_port(__doc__, arguments)

    try:
        listener = ports.listen(port)
    except ports.PortError as error:
        print(f"{error} Choose another: make demo PORT={error.free}", file=sys.stderr)
        return 1

    with foreground(), listener:
        try:
            # SIGINT explicitly: in a script's background it comes ignored.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.default_int_handler)

            prepare("load_reference")
            return serve(listener)
        except KeyboardInterrupt:
            print("\nStopped.")
            return 0


def read_port(description: str | None, arguments: Sequence[str] | None) -> int:
    """`--port` of a command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=8000, help="0 means any")
    return int(parser.parse_args(arguments).port)


def prepare(*commands: str) -> None:
    """Migrate, then run the management commands that fill the database."""
    os.chdir(ROOT)
    os.environ["DJANGO_SETTINGS_MODULE"] = "asgi_example.settings"

    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", verbosity=0)

    for command in commands:
        call_command(command)

    connections.close_all()


def serve(listener: socket.socket) -> int:
    """Run uvicorn on a bound socket; say where as soon as the page is there."""
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            "asgi_example.asgi:application",
            log_level="warning",
            # Compression costs 35 KiB for every socket, and our frames are small.
            ws_per_message_deflate=False,
            # A client that never reads must not keep us from ending.
            timeout_graceful_shutdown=10,
        )
    )
    announcer = threading.Thread(
        target=announce, args=(server, listener.getsockname()[1]), daemon=True
    )
    announcer.start()
    server.run(sockets=[listener])
    return 0 if server.started else 1


def announce(server: uvicorn.Server, port: int) -> None:
    """Print the address once it answers."""
    while not server.started:
        if server.should_exit:
            return

        time.sleep(0.05)

    if ports.answers(port):
        print(f"\nReady: http://{ports.HOST}:{port}/  (Ctrl-C stops it)", flush=True)
    else:
        print("\nThe server is up, but its page fails.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
