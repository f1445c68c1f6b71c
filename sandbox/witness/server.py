"""PORT. Output and answer: see server.mjs."""
import http.server, sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        local = self.connection.getsockname()
        peer = f"{self.client_address[0]}:{self.client_address[1]}"
        body = f"local python sees {peer} at {local[0]}:{local[1]}\n".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Handler)
print(f"listening {sys.argv[1]}", flush=True)
server.serve_forever()
