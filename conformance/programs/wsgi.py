"""What facts.c answers, as an application of WSGI: for gunicorn."""

import facts


def application(environ, start_response):
    peer = f"{environ['REMOTE_ADDR']}:{environ['REMOTE_PORT']}"
    local = environ["gunicorn.socket"].getsockname()
    body = facts.observe(environ["PATH_INFO"], peer, f"{local[0]}:{local[1]}").encode()
    start_response("200 OK", [("content-length", str(len(body)))])
    return [body]
