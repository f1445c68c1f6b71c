"""URL COUNT: prints the sum of what COUNT requests over one connection of http.client were answered."""

import hashlib
import http.client
import sys
from urllib.parse import urlsplit

url = urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
total = hashlib.sha256()
for i in range(int(sys.argv[2])):
    connection.request("POST", url.path, body=bytes([i]) * (i * 1000))
    response = connection.getresponse()
    total.update(f"{response.status}\n".encode() + response.read())
print(total.hexdigest())
