"""MLflow's own server on loopback, behind a door that can fall shut at any request.

Run as a program this file is the server: in a process of its own, because it sets MLflow's global addresses.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from crm_ml.registry import Store


class Door(ThreadingHTTPServer):
    """What stands before the server: from the request chosen on, none is answered.

    `dies_at` is a piece of a method and path; `lost_answer` lets that request through and loses its answer only;
    `recovers` has later requests answered again.
    """

    daemon_threads = True
    dies_at: str | None = None
    lost_answer = False
    recovers = False
    dead = False

    def __init__(self, behind: int) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.behind = behind

    def repair(self) -> None:
        self.dies_at, self.lost_answer, self.recovers, self.dead = None, False, False, False


class Request(BaseHTTPRequestHandler):
    server: Door

    def pass_on(self) -> None:
        door = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        falls_now = not door.dead and door.dies_at is not None and door.dies_at in f"{self.command} {self.path}"
        door.dead |= falls_now
        if door.dead and not (falls_now and door.lost_answer):
            return
        inside = http.client.HTTPConnection("127.0.0.1", door.behind)
        inside.request(self.command, self.path, body, dict(self.headers))
        answer = inside.getresponse()
        content = answer.read()
        inside.close()
        if falls_now:
            if door.recovers:
                door.repair()
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815  # the standard library's names

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[tuple[Store, Door]]:
    """Serve the store whose database `folder` holds, artifacts too."""
    command = [sys.executable, "-W", "ignore", __file__]
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/mlflow.db",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
    }
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            door = Door(int(process.stdout.readline()))
            threading.Thread(target=door.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{door.server_port}"
            yield Store(address, address), door
            door.shutdown()
            door.server_close()
        finally:
            process.kill()


def serve() -> None:
    from mlflow.server import app
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.server_port, flush=True)  # noqa: T201  # to whoever started it
    server.serve_forever()


if __name__ == "__main__":
    serve()
