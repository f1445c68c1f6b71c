"""What facts.c answers, observed with blocking calls: for the servers beside this file."""

import errno
import os
import socket
import urllib.request


def word(error):
    if isinstance(error, socket.gaierror):
        return "EAI_NONAME" if error.errno == socket.EAI_NONAME else str(error)
    if isinstance(error, OSError) and error.errno:
        return errno.errorcode[error.errno]
    return str(error)


def or_word(observe):
    try:
        return observe()
    except OSError as error:
        return word(error)


def attempt(host, port):
    socket.create_connection((host, port), timeout=20).close()
    return "connected"


def contents(path):
    with open(path) as file:
        return file.read().strip()


def out(host):
    """Its socket too, which urllib does not show."""
    with socket.create_connection((host, 80), timeout=20) as connection:
        connection.sendall(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
        to, source = connection.getpeername(), connection.getsockname()
        body = answer.partition(b"\r\n\r\n")[2].decode().strip()
        return f"{body}\nto {to[0]}:{to[1]}\nfrom {source[0]}"


def asked(path):
    host, port, unreachable, variable, file = path[1:].split("/", 4)
    return host, int(port), unreachable, variable, "/" + file


def observe(path, peer, local):
    """path: /HOST/REFUSED-PORT/UNREACHABLE/VARIABLE/FILE; peer and local: addresses of the connection it came on"""
    host, port, unreachable, variable, file = asked(path)
    fetch = lambda: urllib.request.urlopen(f"http://{host}/", timeout=20).read().decode().strip()
    return "".join(
        f"{key} {value}\n"
        for key, value in (
            ("peer", peer),
            ("local", local),
            ("out", or_word(lambda: out(host))),
            ("out", or_word(fetch)),
            ("dns", or_word(lambda: socket.gethostbyname(host))),
            ("env", os.environ.get(variable, "")),
            ("file", or_word(lambda: contents(file))),
            ("hostname", socket.gethostname()),
            ("refused", or_word(lambda: attempt(host, port))),
            ("unreachable", or_word(lambda: attempt(unreachable, 80))),
            ("unknown", or_word(lambda: attempt("nobody.example", 80))),
            ("by", os.getpid()),
        )
    )
