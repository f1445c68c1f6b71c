"""PORT. See facts.py; a thread for each connection."""

import http.server
import sys

import facts


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        local = self.connection.getsockname()
        body = facts.observe(self.path, "%s:%d" % self.client_address, f"{local[0]}:{local[1]}").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Handler)
print(f"listening {sys.argv[1]}", flush=True)
server.serve_forever()
