"""One request a connection: argv is PORT; the answer's body is the client's port. Says "ready"."""
import socketserver
import sys


class Answer(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(4096)
        body = str(self.client_address[1]).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        self.request.sendall(head + body)


class Server(socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 4096


with Server(("0.0.0.0", int(sys.argv[1])), Answer) as server:
    print("ready", flush=True)
    server.serve_forever()
