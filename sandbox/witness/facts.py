"""The same as facts.c, in Python."""
import errno, json, os, socket, sys

FILE_LIMIT_BYTES = 65536


def or_errno(observe):
    try:
        return observe()
    except OSError as error:
        return {"errno": errno.errorcode[error.errno]}


def read(path):
    with open(path, "rb") as file:
        return file.read(FILE_LIMIT_BYTES).decode("latin1")


def stat(path):
    found = os.stat(path)
    return {"size": found.st_size, "mode": found.st_mode, "mtime": int(found.st_mtime)}


def resolve(name):
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except socket.gaierror:
        return {"errno": "EAI_NONAME"}
    return sorted(entry[4][0] for entry in found)


observers = {
    "env": os.environ.get,
    "file": lambda path: or_errno(lambda: read(path)),
    "stat": lambda path: or_errno(lambda: stat(path)),
    "resolve": resolve,
}
facts = {"hostname": socket.gethostname(), "nodename": os.uname().nodename, "env": {}, "file": {}, "stat": {}, "resolve": {}}
for kind, what in zip(sys.argv[1::2], sys.argv[2::2]):
    facts[kind][what] = observers[kind](what)
print(json.dumps(facts))
