// PORT. What it answers: see facts.c. With std only: a thread for each connection.
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

extern "C" {
    fn gethostname(name: *mut u8, length: usize) -> i32;
}

fn word(error: Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "ECONNREFUSED".into(),
        ErrorKind::HostUnreachable => "EHOSTUNREACH".into(),
        // std has no kind for getaddrinfo's failures.
        _ if error.to_string().contains("not known") => "EAI_NONAME".into(),
        _ => error.to_string(),
    }
}

fn fetch(host: &str) -> Result<String, Error> {
    let mut stream = TcpStream::connect((host, 80))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(stream, "GET / HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim());
    let (to, from) = (stream.peer_addr()?, stream.local_addr()?.ip());
    Ok(format!("{body}\nto {to}\nfrom {from}"))
}

fn attempt(host: &str, port: u16) -> String {
    TcpStream::connect((host, port)).map_or_else(word, |_| "connected".into())
}

fn look(host: &str) -> Result<String, Error> {
    let found = (host, 80).to_socket_addrs()?.find(|address| address.is_ipv4());
    Ok(found.map_or(String::new(), |address| address.ip().to_string()))
}

fn hostname() -> String {
    let mut name = [0u8; 256];
    unsafe { gethostname(name.as_mut_ptr(), name.len()) };
    String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or(&[])).into()
}

fn serve(mut stream: TcpStream) -> Result<(), Error> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or("").to_string();
    let asked: Vec<&str> = path.splitn(6, '/').collect();
    let [_, host, port, unreachable, variable, file] = asked[..] else { return Ok(()) };
    let mut said = String::new();
    let mut say = |key: &str, value: String| writeln!(said, "{key} {value}").unwrap();
    say("peer", stream.peer_addr()?.to_string());
    say("local", stream.local_addr()?.to_string());
    say("out", fetch(host).unwrap_or_else(word));
    say("dns", look(host).unwrap_or_else(word));
    say("env", std::env::var(variable).unwrap_or_default());
    say("file", std::fs::read_to_string(format!("/{file}")).map_or_else(word, |text| text.trim().into()));
    say("hostname", hostname());
    say("refused", attempt(host, port.parse().unwrap_or(0)));
    say("unreachable", attempt(unreachable, 80));
    say("unknown", attempt("nobody.example", 80));
    say("by", std::process::id().to_string());
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{said}", said.len())
}

fn main() {
    let port: u16 = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect("PORT");
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("bind");
    println!("listening {port}");
    for stream in listener.incoming().flatten() {
        std::thread::spawn(|| serve(stream));
    }
}
