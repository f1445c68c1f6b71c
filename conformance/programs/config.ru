# What facts.c answers, for puma: Ruby's standard library.
require "net/http"
require "resolv"
require "socket"

def or_word
  yield
rescue Errno::ECONNREFUSED then "ECONNREFUSED"
rescue Errno::EHOSTUNREACH then "EHOSTUNREACH"
rescue SocketError => error then error.message.match?(/not known/) ? "EAI_NONAME" : error.message
rescue SystemCallError => error then error.message
end

def out(host)
  Socket.tcp(host, 80, connect_timeout: 20) do |socket|
    socket.write("GET / HTTP/1.0\r\nHost: #{host}\r\n\r\n")
    body = socket.read.split("\r\n\r\n", 2).last.strip
    to = socket.remote_address
    "#{body}\nto #{to.ip_address}:#{to.ip_port}\nfrom #{socket.local_address.ip_address}"
  end
end

def attempt(host, port)
  TCPSocket.open(host, port).close
  "connected"
end

run(lambda do |env|
  _, host, port, unreachable, variable, file = env["PATH_INFO"].split("/", 6)
  _, peer_port, _, peer = env["puma.socket"].peeraddr(false)
  _, local_port, _, local = env["puma.socket"].addr(false)
  said = {
    peer: "#{peer}:#{peer_port}",
    local: "#{local}:#{local_port}",
    dns: or_word { Addrinfo.getaddrinfo(host, nil, :INET).first.ip_address },
    resolver: or_word { Resolv::DNS.open { |dns| dns.getaddress(host).to_s } },
    env: ENV[variable],
    file: File.read("/#{file}").strip,
    hostname: Socket.gethostname,
    refused: or_word { attempt(host, port.to_i) },
    unreachable: or_word { attempt(unreachable, 80) },
    unknown: or_word { attempt("nobody.example", 80) },
    by: Process.pid
  }
  lines = said.map { |key, value| "#{key} #{value}\n" }.join
  lines += "out #{or_word { out(host) }}\n"
  lines += "out #{or_word { Net::HTTP.get(host, "/").strip }}\n"
  [200, { "content-type" => "text/plain" }, [lines]]
end)
