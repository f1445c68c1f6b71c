"""The soak's work in Python: `work.py ITEM SEED`, or `work.py serve PORT`. Verifies its own answers; status 0, or not."""

import asyncio
import os
import random
import socket
import sys
import urllib.request


def at(variable):
    host, port = os.environ[variable].rsplit(":", 1)
    return host, int(port)


async def echo(seed):
    sent = random.Random(seed).randbytes(1 + seed % 3000)
    reader, writer = await asyncio.wait_for(asyncio.open_connection(*at("SOAK_ECHO")), 30)
    assert writer.get_extra_info("peername") == at("SOAK_ECHO")
    writer.write(sent)
    writer.write_eof()
    got = await asyncio.wait_for(reader.read(-1), 30)
    assert got == sent, (len(got), len(sent))
    writer.close()


async def echoes(seed):
    await asyncio.gather(*(echo(seed + i) for i in range(30)))


def web(seed):
    for _ in range(5):
        text = urllib.request.urlopen(f"http://{os.environ['SOAK_NAME']}/", timeout=30).read().decode()
        assert text.startswith("greetings to "), text
    assert os.environ["SOAK_GREETING"] in open("/config/greeting").read()
    assert sorted(os.listdir("/config"))[-1] == "greeting", os.listdir("/config")


def datagrams(seed):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(30)
        for i in range(20):
            sent = b"%d %d" % (seed, i)
            udp.sendto(sent, at("SOAK_UDP"))
            got, sender = udp.recvfrom(2048)
            while not got.startswith(b"%d " % seed):  # of another program, which had the port before and was ended
                got, sender = udp.recvfrom(2048)
            assert (got, sender) == (sent, at("SOAK_UDP")), (got, sender)


async def serve(port):
    async def one(reader, writer):
        try:
            line = (await asyncio.wait_for(reader.readline(), 30)).decode().strip()
            host, peer_port = writer.get_extra_info("peername")[:2]
            writer.write(f"{line} {host}:{peer_port}\n".encode())
            await writer.drain()
        except (OSError, asyncio.TimeoutError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(one, "0.0.0.0", port)
    await server.serve_forever()


item, seed = sys.argv[1], int(sys.argv[2])
if item == "serve":
    asyncio.run(serve(seed))
elif item == "echoes":
    asyncio.run(echoes(seed))
else:
    {"web": web, "datagrams": datagrams}[item](seed)
print("ok")
