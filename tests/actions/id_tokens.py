"""Where a job gets its id token: the address that GitHub puts into ACTIONS_ID_TOKEN_REQUEST_URL."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

BEARER = "runtime-token-of-a-job"


@contextmanager
def id_tokens(token: str, audience: str) -> Iterator[tuple[str, str]]:
    """Serves one id token to requests with the job's bearer token and that audience.

    Yields:
        The address, and the bearer token.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            if self.headers["Authorization"] != f"Bearer {BEARER}":
                return self._answer(401, {})
            if asked.get("audience") != [audience]:
                return self._answer(400, {})
            return self._answer(200, {"value": token})

        def _answer(self, status: int, body: dict[str, str]) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token", BEARER
    finally:
        server.shutdown()
        server.server_close()
