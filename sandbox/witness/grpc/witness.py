"""What main.go is, on gRPC's core of C++ and in Python.

    witness.py server NAME PORT
    witness.py client ADDRESS:PORT USER
"""

import hashlib
import json
import sys
import threading
from concurrent import futures

import grpc

SERVICE = "inpod.Witness"
LONG = 30


def serve(name, port):
    def tell(context):
        echo = ",".join(value for key, value in context.invocation_metadata() if key == "x-echo")
        context.send_initial_metadata((("x-from", name),))
        context.set_trailing_metadata((("x-echo", echo), ("x-data-bin", b"\x00\xff" + name.encode())))

    def unary(messages, context):
        for message in messages:
            yield name.encode() + b" " + message

    def download(messages, context):
        for message in messages:
            for i in range(int(message)):
                yield str(i % 10).encode() * 100_000

    def upload(messages, context):
        lengths = [len(message) for message in messages]
        yield f"{name} {len(lengths)} {sum(lengths)}".encode()

    def chat(messages, context):
        for message in messages:
            yield name.encode() + b": " + message

    def fail(messages, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, name + " will not: ü")

    def wait(messages, context):
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(LONG)
        print(name, "heard of the end", flush=True)
        return iter(())

    def told(handler):
        def handle(messages, context):
            tell(context)
            yield from handler(messages, context) or ()

        return grpc.stream_stream_rpc_method_handler(handle)

    handlers = {"Unary": unary, "Download": download, "Upload": upload, "Chat": chat, "Fail": fail, "Wait": wait}
    generic = grpc.method_handlers_generic_handler(
        SERVICE, {method: told(handler) for method, handler in handlers.items()}
    )
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    server.add_generic_rpc_handlers((generic,))
    if server.add_insecure_port(f"0.0.0.0:{port}") == 0:
        sys.exit("the port is taken")
    server.start()
    print("listening", port, flush=True)
    server.wait_for_termination()


def ask(address, user):
    # Whatever proxies the environment names.
    channel = grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),))

    def call(method, timeout, cancelled, *messages):
        answered = threading.Semaphore(0)

        def said():
            for message in messages:
                yield message
                # What was said is answered before the next word.
                if method == "Chat":
                    answered.acquire(timeout=LONG)
            if cancelled:
                threading.Event().wait(LONG)

        found = {"Call": method, "Replies": [], "Count": 0, "Length": 0}
        total = hashlib.sha256()
        metadata = (("x-user", user), ("x-echo", "one"), ("x-echo", "two"))
        stream = channel.stream_stream(f"/{SERVICE}/{method}")(said(), timeout=timeout, metadata=metadata)
        if cancelled:
            threading.Timer(0.2, stream.cancel).start()
        try:
            for message in stream:
                answered.release()
                found["Count"] += 1
                found["Length"] += len(message)
                total.update(message)
                if len(message) < 1000:
                    found["Replies"].append(message.decode())
        except grpc.RpcError:
            found["Code"] = stream.code().name
            found["Message"] = stream.details()
        if found.get("Code") in (None, "FAILED_PRECONDITION"):
            found["From"] = [value for key, value in stream.initial_metadata() if key == "x-from"]
        trailers = stream.trailing_metadata() or ()
        found["Echo"] = [value for key, value in trailers if key == "x-echo"]
        found["Data"] = [value.hex() for key, value in trailers if key == "x-data-bin"]
        found["Sum"] = total.hexdigest()
        print(json.dumps(found), flush=True)

    call("Unary", LONG, False, b"hello")
    call("Unary", LONG, False, b"long" * 500_000)
    call("Download", LONG, False, b"50")
    call("Upload", LONG, False, b"a", b"b" * 1_000_000, b"c")
    call("Chat", LONG, False, b"one", b"two", b"three")
    call("Fail", LONG, False)
    call("Wait", 0.3, False)
    call("Wait", LONG, True)
    call("Missing", LONG, False)


if len(sys.argv) == 4 and sys.argv[1] == "server":
    serve(sys.argv[2], sys.argv[3])
elif len(sys.argv) == 4 and sys.argv[1] == "client":
    ask(sys.argv[2], sys.argv[3])
else:
    sys.exit(__doc__)
