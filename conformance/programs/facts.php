<?php
// What facts.c answers, for PHP's own server and for php-fpm.

/** The word of an errno, by which PHP's sockets tell what failed. */
function word(int $errno, string $message): string
{
    $words = [111 => 'ECONNREFUSED', 113 => 'EHOSTUNREACH'];
    return $words[$errno] ?? (str_contains($message, 'not known') ? 'EAI_NONAME' : "$errno $message");
}

function attempt(string $host, int $port): string
{
    $socket = @stream_socket_client("tcp://$host:$port", $errno, $message, 20);
    return $socket ? 'connected' : word($errno, $message);
}

function out(string $host): string
{
    $socket = @stream_socket_client("tcp://$host:80", $errno, $message, 20);
    if (!$socket) return word($errno, $message);
    fwrite($socket, "GET / HTTP/1.0\r\nHost: $host\r\n\r\n");
    $body = trim(explode("\r\n\r\n", stream_get_contents($socket), 2)[1] ?? '');
    $from = preg_replace('/:\d+$/', '', stream_socket_get_name($socket, false));
    return "$body\nto " . stream_socket_get_name($socket, true) . "\nfrom $from";
}

[, $host, $port, $unreachable, $variable, $file] = explode('/', $_SERVER['REQUEST_URI'], 6);
$records = dns_get_record(str_contains($host, '.') ? $host : "$host.shop.svc.cluster.local", DNS_A);
header('content-type: text/plain');
$said = [
    'peer' => "$_SERVER[REMOTE_ADDR]:$_SERVER[REMOTE_PORT]",
    'out' => out($host),
    'dns' => gethostbyname($host),
    'resolver' => $records[0]['ip'] ?? 'none',
    'env' => getenv($variable),
    'file' => trim(file_get_contents("/$file")),
    'hostname' => gethostname(),
    'refused' => attempt($host, (int) $port),
    'unreachable' => attempt($unreachable, 80),
    'unknown' => attempt('nobody.example', 80),
    'by' => getmypid(),
];
foreach ($said as $key => $value) echo "$key $value\n";
echo 'out ', trim(file_get_contents("http://$host/")), "\n";
