"""Large files the newer way: chunks in xorbs, files as terms in shards.

A file is rebuilt from its terms as soon as its shard comes, and must have the sha256 that the
shard says, so a file that can be committed was uploaded whole.
"""

from __future__ import annotations

import hashlib
import time

from starlette.responses import Response

from tests.hub_peer.repos import revision
from tests.hub_peer.routing import Call, Refusal, Route, byte_range, ok, ranged, route
from tests.hub_peer.tokens import content_reader, writer
from tests.hub_peer.xet_layouts import Shard, Term, chunks, unpack


def _token(call: Call) -> Response:
    repo = content_reader(call)
    access = call.parts["access"]
    if access == "write":
        # A user who may open a pull request may upload for one.
        revision(writer(call, call.pr), "main" if call.pr else call.parts["revision"])
    text, expires = f"xet-{access}-{repo.id}", int(time.time()) + 3600
    return ok(
        {"casUrl": call.peer.cdn, "accessToken": text, "exp": expires},
        **{
            "X-Xet-Cas-Url": call.peer.cdn,
            "X-Xet-Access-Token": text,
            "X-Xet-Token-Expiration": str(expires),
        },
    )


def _allow(call: Call, *access: str) -> None:
    header = call.request.headers.get("authorization", "")
    if not header.startswith(tuple(f"Bearer xet-{each}-" for each in access)):
        raise Refusal(401, "Not a token of this store")


def _xorb(call: Call) -> Response:
    _allow(call, "write")
    new = call.parts["hash"] not in call.peer.store.xorbs
    if not chunks(call.body):
        raise Refusal(400, "Not a xorb")
    call.peer.store.xorbs[call.parts["hash"]] = call.body
    return ok({"was_inserted": new})


def _shard(call: Call) -> Response:
    _allow(call, "write")
    store = call.peer.store
    shard = Shard.read(call.body)
    for name, terms, sha256 in shard.files:
        data = b"".join(_unpack(call, term) for term in terms)
        found = hashlib.sha256(data).hexdigest()
        if sha256 not in (None, found):
            raise Refusal(400, f"The file {name} does not have the sha256 that its shard says")
        store.xet_files[name] = terms
        store.xet_hashes[found] = name
        store.objects[found] = data
    store.known_chunks |= shard.chunks()
    return ok({"result": 1})


def _chunk(call: Call) -> Response:
    """Which xorb has a chunk, so that a client whose cache is empty need not send it again."""
    _allow(call, "read", "write")
    known = call.peer.store.known_chunks.get(call.parts["hash"])
    if known is None:
        raise Refusal(404, "No such chunk")
    return Response(known)


def _unpack(call: Call, term: Term) -> bytes:
    xorb = call.peer.store.xorbs.get(term.xorb)
    if xorb is None:
        raise Refusal(400, f"The xorb {term.xorb} was not uploaded")
    data = b"".join(unpack(xorb, each) for each in chunks(xorb)[term.begin : term.end])
    if len(data) != term.size:
        raise Refusal(400, f"The xorb {term.xorb} does not hold the chunks that a file names")
    return data


def _reconstruct(call: Call) -> Response:
    _allow(call, "read", "write")
    terms = call.peer.store.xet_files.get(call.parts["hash"])
    if terms is None:
        raise Refusal(404, "No such file")
    size = sum(term.size for term in terms)
    begin, end = byte_range(call, size) or (0, size)
    wanted, skipped, at = [], 0, 0
    for term in terms:
        if at < end and at + term.size > begin:
            if not wanted:
                skipped = begin - at
            wanted.append(term)
        at += term.size
    fetch: dict[str, list[object]] = {}
    for term in wanted:
        spans = chunks(call.peer.store.xorbs[term.xorb])[term.begin : term.end]
        fetch.setdefault(term.xorb, []).append(
            {
                "range": {"start": term.begin, "end": term.end},
                "url": f"{call.peer.cdn}/xorbs/{term.xorb}",
                "url_range": {"start": spans[0][0], "end": spans[-1][1] - 1},
            }
        )
    rows = [
        {
            "hash": term.xorb,
            "unpacked_length": term.size,
            "range": {"start": term.begin, "end": term.end},
        }
        for term in wanted
    ]
    return ok({"offset_into_first_range": skipped, "terms": rows, "fetch_info": fetch})


def _read(call: Call) -> Response:
    xorb = call.peer.store.xorbs.get(call.parts["hash"])
    if xorb is None:
        raise Refusal(404, "No such xorb")
    return ranged(call, xorb)


def _later(call: Call) -> Response:
    raise Refusal(404, "Not spoken here")  # the client then asks in version 1


_TOKEN = "/api/{kind}/{repo}/xet-(?P<access>read|write)-token/{revision}"
ROUTES: list[Route] = [
    route("GET", _TOKEN, "xet_token", _token),
    route("POST", "/v1/xorbs/{prefix}/{hash}", "cas_xorb", _xorb),
    route("GET", "/v1/chunks/{prefix}/{hash}", "cas_chunk", _chunk),
    route("POST", "/(v1/)?shards", "cas_shard", _shard),
    route("GET", "/v1/reconstructions/{hash}", "cas_reconstruction", _reconstruct),
    route("GET", "/xorbs/{hash}", "cas_read", _read),
    route("GET|HEAD|POST|PUT", "/v[12]/{rest}", "cas_other", _later),
]
