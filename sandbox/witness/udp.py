"""PORT [msg|asyncio]. Answers each datagram "local python sees ADDRESS:PORT: TEXT"."""
import asyncio, socket, sys

port, mode = int(sys.argv[1]), (sys.argv[2:] + ["recvfrom"])[0]


def answer(text, peer):
    return f"local python sees {peer[0]}:{peer[1]}: {text.decode()}".encode()


class Protocol(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
        print("bound", transport.get_extra_info("sockname")[1], flush=True)

    def datagram_received(self, text, peer):
        self.transport.sendto(answer(text, peer), peer)


async def serve():
    await asyncio.get_running_loop().create_datagram_endpoint(Protocol, ("0.0.0.0", port))
    await asyncio.Event().wait()


if mode == "asyncio":
    asyncio.run(serve())
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", port))
print("bound", server.getsockname()[1], flush=True)
while True:
    if mode == "msg":
        text, _, _, peer = server.recvmsg(2048)
        server.sendmsg([answer(text, peer)], [], 0, peer)
    else:
        text, peer = server.recvfrom(2048)
        server.sendto(answer(text, peer), peer)
