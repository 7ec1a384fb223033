"""The peer: a server on loopback, in a thread, and what a test sees of it."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import traceback
from collections.abc import Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from tests.hub_peer import card, commit, community, download, jobs, lfs, repos, tokens, xet
from tests.hub_peer.faults import Faults
from tests.hub_peer.jobs import Jobs
from tests.hub_peer.routing import Call, Handler, Refusal
from tests.hub_peer.store import Repo, Store
from tests.hub_peer.tokens import Token, identify, new_token

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_ROOMS = (card, commit, community, download, jobs, lfs, repos, tokens, xet)
ROUTES = [route for room in _ROOMS for route in room.ROUTES]


class Asked(NamedTuple):
    """One request as it was served; `status` is 0 if it got no answer.

    `had_authorization` is any Authorization header, the Xet store's own tokens too; `token` is the
    name of the Hub token it carried, if it did.
    """

    method: str
    path: str
    endpoint: str
    bytes_in: int
    bytes_out: int
    status: int
    had_authorization: bool
    token: str | None


class HubPeer:
    """A Hub of one user (and their organisations), empty, until the `with` block ends.

    Tokens by name: "write" and "read" of `user`, "stranger" of another user. Files and collections
    are in memory. The Hub is 127.0.0.1, its CDN and Xet store are localhost, as the real ones are
    on hosts of their own.

    Attributes:
        endpoint: What HF_ENDPOINT is to be.
        requests: What was asked, in order of the answers; clear it at will.
        faults: Troubles to come, see `Faults.add`.
        bugs: Tracebacks of requests that the peer itself broke on, and of hooks.
        page_size: Rows of a page of a tree (with expand at most 50) and of a list of commits.
        part_size: LFS files of more bytes than this are uploaded in parts.
        trusted: Repositories with a trusted publisher, "datasets/ns/name"; `id_token` is what it
            shows.
        jobs: Scheduled jobs, and the jobs that they started.
    """

    def __init__(self, user: str = "tester", orgs: tuple[str, ...] = ("magpie-test",)) -> None:
        self.user, self.orgs = user, orgs
        self.page_size, self.part_size = 1000, 5 * 1024 * 1024
        self.store = Store()
        self.requests: list[Asked] = []
        self.bugs: list[str] = []
        self.faults = Faults({route.endpoint for route in ROUTES})
        self.tokens: dict[str, Token] = {
            "write": new_token("write", user, "write"),
            "read": new_token("read", user, "read"),
            "stranger": new_token("stranger", "stranger", "write"),
        }
        self.trusted: set[str] = set()
        self.jobs = Jobs()
        self.id_token = "id-token-of-a-ci-job"
        # asyncio sends small answers at once only on a socket that says it is TCP.
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        port = self._socket.getsockname()[1]
        self.endpoint, self.cdn = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        self._loop, self._over = asyncio.new_event_loop(), asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> HubPeer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    # ---- what a test prepares ----

    def create_repo(
        self,
        name: str,
        *,
        type: str = "dataset",
        private: bool = False,
        files: Mapping[str, bytes] | None = None,
    ) -> Repo:
        """A repository that is there already, with these files in a second commit."""
        return self.store.create(name, type, private, files)

    def before(self, endpoint: str, hook: Callable[[], object]) -> None:
        """Calls `hook` once, on another thread, before the endpoint's next request is served."""
        self.faults.before(endpoint, hook)

    def api(self, token: str | None = "write") -> HfApi:
        """A client in this process, with a token by name, or with none.

        Its endpoint is enough for everything it does, Xet included. What huggingface_hub 2.4 reads
        from its constants at each call, the fixtures set: HF_HUB_OFFLINE, HF_HUB_CACHE, and
        HF_HUB_DISABLE_XET, which chooses between Xet and LFS.
        """
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.tokens[token].text if token else False)

    def environment(
        self, token: str | None = "write", *, xet: bool = True, home: Path, keyless: str = ""
    ) -> dict[str, str]:
        """The whole environment of a process that is to know this Hub and no other.

        Args:
            token: The name of the HF_TOKEN; None for no token.
            xet: Whether large files go through Xet, or through LFS.
            home: HF_HOME: caches, and the token file.
            keyless: "datasets/ns/name", to exchange the id token of a CI job for a token.
        """
        mine = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        if token:
            mine["HF_TOKEN"] = self.tokens[token].text
        if not xet:
            mine["HF_HUB_DISABLE_XET"] = "1"
        if keyless:
            mine |= {"HF_OIDC_RESOURCE": keyless, "HF_OIDC_ID_TOKEN": self.id_token}
        ours = ("HF_", "HUGGING", "TRANSFORMERS_OFFLINE")
        return {key: text for key, text in os.environ.items() if not key.startswith(ours)} | mine

    # ---- what a test looks at ----

    def repo(self, name: str, type: str = "dataset") -> Repo:
        """A repository by name."""
        return self.store.repos[type, name]

    @property
    def collections(self) -> dict[str, dict[str, Any]]:
        """Collections by slug, as the API shows them."""
        return self.store.collections

    def asked(self, endpoint: str) -> list[Asked]:
        """The requests of one endpoint."""
        return [each for each in self.requests if each.endpoint == endpoint]

    def data_sent(self) -> int:
        """Bytes of large files that clients sent, as LFS objects or as xorbs."""
        return sum(each.bytes_in for each in self.requests if each.endpoint in _DATA)

    # ---- serving ----

    def _run(self) -> None:
        self._loop.run_until_complete(self._main())

    async def _main(self) -> None:
        config = Config(
            self._serve, interface="asgi3", ws="none", proxy_headers=False, log_config=None
        )
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        server = await self._loop.create_server(
            lambda: _Protocol(config, state, {}, self._loop), sock=self._socket
        )
        self._ready.set()
        await self._over.wait()
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        endpoint, handler, parts = self._find(request)
        for hook in self.faults.hooks(endpoint):
            await asyncio.to_thread(self._guard, hook)
        fault = self.faults.take(endpoint)
        response = fault.instead() if fault else None
        if response is None:
            call = Call(self, request, body, parts, None)
            response = self._guard(lambda: self._work(call, handler)) or _broken()
        cut = fault is not None and fault.kind == "lost-connection"
        if fault and fault.kind == "hang":
            await asyncio.sleep(fault.seconds)
        elif fault and fault.kind == "lost-504":
            response = fault.failure()
        elif fault and fault.kind == "body":
            response = fault.other(response)
        self._log(request, endpoint, body, None if cut else response)
        if cut:
            scope["state"]["transport"].abort()
        else:
            await response(scope, receive, send)

    def _find(self, request: Request) -> tuple[str, Handler, dict[str, str]]:
        path = request.scope["raw_path"].decode()
        for route in ROUTES:
            parts = route.match(request.method, path)
            if parts is not None:
                return route.endpoint, route.handler, parts
        return "unknown", _unknown, {}

    def _work(self, call: Call, handler: Handler) -> Response:
        try:
            if not call.request.url.path.startswith(_TOKENLESS):
                call.token = identify(call)
            return handler(call)
        except Refusal as refusal:
            return refusal.response()

    def _guard(self, do: Callable[[], Any]) -> Any:
        """Does something; what goes wrong is a bug of the peer, or of a test's hook."""
        try:
            return do()
        except Exception:  # noqa: BLE001 - the test is told
            self.bugs.append(traceback.format_exc())
            return None

    def _log(self, request: Request, endpoint: str, body: bytes, response: Response | None) -> None:
        header = request.headers.get("authorization")
        path = request.scope["raw_path"].decode()
        path += f"?{request.url.query}" if request.url.query else ""
        size = len(response.body) if response and request.method != "HEAD" else 0
        status = response.status_code if response else 0
        name = next((t.name for t in self.tokens.values() if header == f"Bearer {t.text}"), None)
        self.requests.append(
            Asked(request.method, path, endpoint, len(body), size, status, bool(header), name)
        )


_DATA = ("lfs_put", "cas_xorb")
# The CDN takes no token and the Xet store has its own.
_TOKENLESS = ("/cdn/", "/lfs/", "/xorbs/", "/v1/", "/v2/", "/shards")


def _unknown(call: Call) -> Response:
    raise Refusal(404, "The peer does not speak this")


def _broken() -> Response:
    return Refusal(501, "The peer broke on this request").response()  # clients do not retry a 501


class _Protocol(H11Protocol):
    """Hands the connection to the application, so that it can be cut."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
