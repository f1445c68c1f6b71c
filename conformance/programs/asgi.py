"""What facts.c answers, as an application of ASGI: for uvicorn."""

import asyncio

import facts


async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    peer, local = ("%s:%d" % scope[end] for end in ("client", "server"))
    body = (await asyncio.to_thread(facts.observe, scope["path"], peer, local)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
