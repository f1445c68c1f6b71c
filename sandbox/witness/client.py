"""HOST PORT PATH, with http.client. Output: see client.c."""
import errno, http.client, socket, sys

host, port, path = sys.argv[1:]
connection = http.client.HTTPConnection(host, int(port), timeout=20)
try:
    connection.connect()
    peer, local = connection.sock.getpeername(), connection.sock.getsockname()
    connection.request("GET", path)
    sys.stdout.write(connection.getresponse().read().decode())
    print(f"peer {peer[0]}:{peer[1]}\nlocal {local[0]}:{local[1]}")
except socket.gaierror:
    print("EAI_NONAME")
    sys.exit(1)
except TimeoutError:
    print("ETIMEDOUT")
    sys.exit(1)
except OSError as error:
    print(errno.errorcode[error.errno])
    sys.exit(1)
