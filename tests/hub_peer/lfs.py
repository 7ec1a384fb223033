"""Large files the older way: a batch answer, then bytes to another host, then completion."""

from __future__ import annotations

import hashlib

from starlette.responses import Response

from tests.hub_peer.routing import Call, Refusal, Route, ok, route
from tests.hub_peer.tokens import may_write, reader


def _batch(call: Call) -> Response:
    repo = reader(call)
    may_write(call)  # for a pull request, that much is enough
    peer, rows, transfer = call.peer, [], "basic"
    for item in call.json()["objects"]:
        oid, size = item["oid"], item["size"]
        row = {"oid": oid, "size": size}
        rows.append(row)
        if oid in peer.store.objects:
            continue
        upload: dict[str, object] = {"href": f"{peer.cdn}/lfs/{oid}"}
        if size > peer.part_size:
            transfer = "multipart"
            count = -(-size // peer.part_size)
            parts = {str(i): f"{peer.cdn}/lfs/{oid}/{i}" for i in range(1, count + 1)}
            upload = {
                "href": f"{peer.endpoint}/lfs/{oid}/complete",
                "header": {"chunk_size": str(peer.part_size), **parts},
            }
        verify = f"{peer.endpoint}/{repo.web}.git/info/lfs/objects/verify"
        row["actions"] = {"upload": upload, "verify": {"href": verify}}
    return ok({"transfer": transfer, "objects": rows})


def _put(call: Call) -> Response:
    oid = call.parts["oid"]
    if "part" in call.parts:
        call.peer.store.parts[oid, int(call.parts["part"])] = call.body
    else:
        _keep(call, oid, call.body)
    return Response(headers={"ETag": f'"{hashlib.md5(call.body).hexdigest()}"'})


def _complete(call: Call) -> Response:
    oid, parts = call.parts["oid"], call.peer.store.parts
    named = sorted(call.json()["parts"], key=lambda part: part["partNumber"])
    try:
        held = [parts[oid, part["partNumber"]] for part in named]
    except KeyError:
        raise Refusal(400, "A part was not uploaded") from None
    etags = [f'"{hashlib.md5(part).hexdigest()}"' for part in held]
    if etags != [part["etag"] for part in named]:
        raise Refusal(400, "A part's ETag is not the one it was given")
    _keep(call, oid, b"".join(held))
    for key in [key for key in parts if key[0] == oid]:
        del parts[key]
    return ok()


def _keep(call: Call, oid: str, data: bytes) -> None:
    if hashlib.sha256(data).hexdigest() != oid:
        raise Refusal(400, "The content's sha256 is not the object's id")
    call.peer.store.objects[oid] = data


def _verify(call: Call) -> Response:
    asked = call.json()
    if len(call.peer.store.objects.get(asked["oid"], b"")) != asked["size"]:
        raise Refusal(404, "The object is not there, or has another size")
    return ok()


ROUTES: list[Route] = [
    route("POST", "/{web}{repo}[.]git/info/lfs/objects/batch", "lfs_batch", _batch),
    route("POST", "/{web}{repo}[.]git/info/lfs/objects/verify", "lfs_verify", _verify),
    route("PUT", "/lfs/{oid}", "lfs_put", _put),
    route("PUT", "/lfs/{oid}/{part}", "lfs_put", _put),
    route("POST", "/lfs/{oid}/complete", "lfs_complete", _complete),
]
