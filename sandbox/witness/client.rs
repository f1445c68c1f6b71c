// HOST PORT PATH, with std only. Output: see client.c.
use std::io::{Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn get(host: &str, port: &str, path: &str) -> Result<String, Error> {
    let mut stream = TcpStream::connect(format!("{host}:{port}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(format!("{body}peer {}\nlocal {}", stream.peer_addr()?, stream.local_addr()?))
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match get(&arguments[1], &arguments[2], &arguments[3]) {
        Ok(text) => println!("{text}"),
        Err(error) => {
            println!("{}", match error.kind() {
                ErrorKind::ConnectionRefused => "ECONNREFUSED",
                ErrorKind::ConnectionReset => "ECONNRESET",
                ErrorKind::HostUnreachable => "EHOSTUNREACH",
                ErrorKind::NetworkUnreachable => "ENETUNREACH",
                ErrorKind::TimedOut | ErrorKind::WouldBlock => "ETIMEDOUT",
                // std has no kind for getaddrinfo's failures.
                _ if error.raw_os_error().is_none() => "EAI_NONAME",
                _ => "EOTHER",
            });
            std::process::exit(1);
        }
    }
}
