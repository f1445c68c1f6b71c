"""daemon.py PORT HOW: a daemon (forked twice, a session of its own) that tells each client what it sees. HOW "forgetful":
its environment is overwritten, as nginx and PostgreSQL do to show a title."""
import ctypes, errno, os, socket, sys

port, how = int(sys.argv[1]), sys.argv[2]
echo, file = sys.argv[3].split(":"), sys.argv[4]
ready, told = os.pipe()
if os.fork():
    os.close(told)
    os.read(ready, 1)
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
if how == "forgetful":
    stat = open("/proc/self/stat").read().rsplit(")", 1)[1].split()
    start, end = int(stat[47]), int(stat[48])  # env_start, env_end
    ctypes.memset(start, 0, end - start)
server = socket.create_server(("0.0.0.0", port))
nothing = os.open("/dev/null", os.O_RDWR)
for fd in range(3):
    os.dup2(nothing, fd)
os.close(told)


def seen():
    try:
        content = open(file).read().strip()
    except OSError as error:
        content = errno.errorcode[error.errno]
    with socket.socket() as client:
        client.settimeout(20)
        try:
            client.connect((echo[0], int(echo[1])))
            answer = "connected"
        except OSError as error:
            answer = errno.errorcode.get(error.errno, str(error))
    return f"{os.getpid()} {how}: {content}, {answer}\n"


while True:
    connection = server.accept()[0]
    connection.sendall(seen().encode())
    connection.close()
