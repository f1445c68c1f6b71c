"""PORT [uvloop]. What facts.c answers, with asyncio's streams: one thread, sockets that do not block. By libuv: with uvloop."""

import asyncio
import os
import socket
import sys

import facts

PATIENCE = 20


async def or_word(observing):
    try:
        return await asyncio.wait_for(observing, PATIENCE)
    except OSError as error:
        return facts.word(error)


async def out(host):
    reader, writer = await asyncio.open_connection(host, 80)
    writer.write(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    answer = await reader.read()
    to, source = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
    writer.close()
    body = answer.partition(b"\r\n\r\n")[2].decode().strip()
    return f"{body}\nto {to[0]}:{to[1]}\nfrom {source[0]}"


async def look(host):
    found = await asyncio.get_running_loop().getaddrinfo(host, None, family=socket.AF_INET)
    return found[0][4][0]


async def attempt(host, port):
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    return "connected"


async def serve(reader, writer):
    path = (await reader.readline()).split()[1].decode()
    while (await reader.readline()).strip():
        pass
    peer, local = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
    host, port, unreachable, variable, file = facts.asked(path)
    keys = ("out", "dns", "refused", "unreachable", "unknown")
    values = await asyncio.gather(
        or_word(out(host)),
        or_word(look(host)),
        or_word(attempt(host, port)),
        or_word(attempt(unreachable, 80)),
        or_word(attempt("nobody.example", 80)),
    )
    said = f"peer {peer[0]}:{peer[1]}\nlocal {local[0]}:{local[1]}\n"
    said += "".join(f"{key} {value}\n" for key, value in zip(keys, values))
    said += f"env {os.environ.get(variable, '')}\nfile {facts.contents(file)}\n"
    said += f"hostname {os.uname().nodename}\nby {os.getpid()}\n"
    head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(said)}\r\n\r\n"
    writer.write((head + said).encode())
    await writer.drain()
    writer.close()


async def main():
    # One socket for each family, as asyncio does it where no address is given.
    server = await asyncio.start_server(serve, None, int(sys.argv[1]))
    print(f"listening {sys.argv[1]}", flush=True)
    await server.serve_forever()


if sys.argv[2:] == ["uvloop"]:
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
