"""A server of http.server: ADDRESS PORT."""

import hashlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The same of every version: root and another user may have different ones.
    server_version = "http.server"
    sys_version = ""

    def do_GET(self):
        if self.path == "/chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for i in range(5):
                self.wfile.write(b"3E8\r\n" + str(i).encode() * 1000 + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
            return
        self.answer(b"page " * 2000)

    do_HEAD = do_GET

    def do_POST(self):
        body = self.chunked() if "chunked" in self.headers.get("Transfer-Encoding", "") else self.counted()
        self.answer(f"{self.command} {len(body)} {hashlib.sha256(body).hexdigest()}\n".encode())

    def counted(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def chunked(self):
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, *_):
        """Clients that reset their connections are none of ours."""


Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
