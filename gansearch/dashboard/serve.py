"""Serves the dashboard on loopback until it is stopped."""

from __future__ import annotations

import errno
import socket
import threading
import webbrowser
from collections.abc import Callable

import uvicorn

from gansearch.dashboard.app import make_app
from gansearch.errors import BadInputError
from gansearch.system.object_store import AnyPath

HOST, FIRST_PORT = "127.0.0.1", 8350
_N_PORTS = 20  # that are tried where none is asked for


def serve(
    results: AnyPath,
    *,
    port: int | None = None,
    open_browser: bool = False,
    say: Callable[[str], None],
) -> None:
    """Serve the runs below a folder until the process is interrupted.

    Args:
        results: the folder.
        port: to listen at; None for the first free one from 8350 on.
        open_browser: whether to show the page in the user's browser.
        say: is told the address, and notes.

    Raises:
        BadInputError: there is no such folder, or the port is taken.
    """
    if not results.is_dir():
        raise BadInputError(
            f"{results}: there is no such folder. It is where runs are: name that of --results, or "
            "start a run with `gansearch run`."
        )
    listener = _listener(port)
    address = f"http://{HOST}:{listener.getsockname()[1]}/"
    server = uvicorn.Server(uvicorn.Config(make_app(results), log_level="error", lifespan="off"))
    # Not in the main thread, where it would replace the handlers of signals.
    thread = threading.Thread(
        target=server.run, args=([listener],), name="gansearch-dashboard", daemon=True
    )
    thread.start()
    try:
        say(f"The runs in {results} are at {address} (press Ctrl-C to stop).")
        if open_browser and not webbrowser.open(address):
            say("No browser could be opened here: open the address in yours.")
        thread.join()
    except KeyboardInterrupt:  # how a user ends it
        pass
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        listener.close()


def _listener(port: int | None) -> socket.socket:
    ports = range(FIRST_PORT, FIRST_PORT + _N_PORTS) if port is None else [port]
    for number in ports:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, number))
            listener.listen(128)
        except OSError as error:
            listener.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            continue
        return listener
    asked = f"--port {port}" if port is not None else f"ports {ports[0]} to {ports[-1]}"
    raise BadInputError(
        f"{asked}: taken by another program, or not allowed. Choose another --port, or leave it "
        "out for a free one."
    )
