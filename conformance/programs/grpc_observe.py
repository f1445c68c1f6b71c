"""PORT. What sandbox/witness/grpc/observe.go answers to Observe, on gRPC's core of C++ and in Python."""

import os
import re
import socket
import sys
from concurrent import futures

import facts
import grpc

SERVICE = "inpod.Witness"


def endpoint(text):
    """ipv4:1.2.3.4:5 or ipv6:[::ffff:1.2.3.4]:5, percent-encoded in newer versions"""
    text = re.sub("%5B|%5D", "", text).replace("[", "").replace("]", "")
    return re.sub("^ipv[46]:(::ffff:)?", "", text)


def call(address):
    # Whatever proxies the environment names.
    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        called = channel.stream_stream(f"/{SERVICE}/Greet")(iter([b""]), timeout=20)
        try:
            return next(called).decode()
        except grpc.RpcError:
            return called.details()


def observe(messages, context):
    for message in messages:
        host, port, unreachable, variable, file = facts.asked(message.decode())
        name = host.partition(":")[0]
        said = f"peer {endpoint(context.peer())}\n"
        greeting = call(f"dns:///{host}")
        # c-ares, not libc, is what gRPC's core asks; a caller is not told where it is connected to, the called one is
        said += f"out {greeting}\nresolver {greeting.rpartition(' at ')[2].rpartition(':')[0]}\n"
        said += f"dns {socket.gethostbyname(name)}\nenv {os.environ.get(variable, '')}\n"
        said += f"file {facts.contents(file)}\nhostname {socket.gethostname()}\n"
        said += f"refused {call(f'dns:///{name}:{port}')}\n"
        said += f"unreachable {call(f'dns:///{unreachable}:80')}\n"
        said += f"unknown {call('dns:///nobody.example:80')}\n"
        yield f"{said}by {os.getpid()}\n".encode()


handlers = {"Observe": grpc.stream_stream_rpc_method_handler(observe)}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
if server.add_insecure_port(f"0.0.0.0:{sys.argv[1]}") == 0:
    sys.exit("the port is taken")
server.start()
print("listening", sys.argv[1], flush=True)
server.wait_for_termination()
