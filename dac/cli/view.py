"""`dac view`: look at a trained scene in a web page."""

from __future__ import annotations

import getpass
import os
import socket
import threading
from pathlib import Path
from typing import Annotated

import typer

from dac.cli.chosen import ModelName, ResultsArgument, SceneName


def view(
    results: ResultsArgument = Path("results"),
    scene: SceneName = None,
    model: ModelName = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
) -> None:
    """Look at a trained scene in a web page, which begins with the chosen model and offers all."""
    from dac.viewer.server import Server, check_address, is_loopback, make_context

    check_address(host, port)
    server = Server(make_context(results, scene, model), host, port)
    if not is_loopback(host):
        where = f"{host}:{server.port}"
        print(f"warning: whoever reaches {where} can look, save camera paths, and send files")
    here = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    print(f"The viewer: http://{here}:{server.port}")
    who, machine = getpass.getuser(), socket.gethostname()
    print(f"Over SSH:   ssh -L {server.port}:{here}:{server.port} {who}@{machine}")
    print("Ctrl-C ends it.", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        # There is nothing to save, and viser's threads take seconds to wind down.
        os._exit(0)
