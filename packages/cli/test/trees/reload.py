"""reload.py PORT FILE: as uvicorn --reload: this process has the listening socket, each of its children in turn answers with
what FILE says, and is started again when FILE changes."""
import os, select, signal, socket, sys, time

server = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=128)
server.set_inheritable(True)


def serve():
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGTERM, lambda *_: None)
    version = open(sys.argv[2]).read().strip()
    body = f"local {version}".encode()
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    while True:
        if woken in select.select([server, woken], [], [])[0]:
            os._exit(0)  # who has not been accepted yet is the next child's
        connection = server.accept()[0]
        connection.recv(10000)
        connection.sendall(head + body)
        connection.close()


def stop(*_):
    os.kill(child, signal.SIGKILL)
    os._exit(0)


for end in (signal.SIGINT, signal.SIGTERM):
    signal.signal(end, stop)
while True:
    seen = os.stat(sys.argv[2]).st_mtime_ns
    child = os.fork()
    if child == 0:
        serve()
    while os.stat(sys.argv[2]).st_mtime_ns == seen:
        time.sleep(0.05)
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
