// PORT. What it answers: see facts.c. Package net only: net/http takes long to compile.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

const patience = 20 * time.Second

func word(err error) string {
	var errno syscall.Errno
	var unknown *net.DNSError
	switch {
	case err == nil:
		return "connected"
	case errors.As(err, &unknown) && unknown.IsNotFound:
		return "EAI_NONAME"
	case errors.As(err, &errno) && errno == syscall.ECONNREFUSED:
		return "ECONNREFUSED"
	case errors.As(err, &errno) && errno == syscall.EHOSTUNREACH:
		return "EHOSTUNREACH"
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}

func dial(host, port string) (net.Conn, error) {
	return net.DialTimeout("tcp4", net.JoinHostPort(host, port), patience)
}

func fetch(to io.Writer, host string) {
	conn, err := dial(host, "80")
	if err != nil {
		fmt.Fprintln(to, "out", word(err))
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", host)
	answer, err := io.ReadAll(conn)
	if err != nil {
		fmt.Fprintln(to, "out", word(err))
	}
	_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	from, _, _ := net.SplitHostPort(conn.LocalAddr().String())
	fmt.Fprintf(to, "out %s\nto %s\nfrom %s\n", strings.TrimSpace(body), conn.RemoteAddr(), from)
}

func look(to io.Writer, key string, resolver *net.Resolver, host string) {
	found, err := resolver.LookupIP(context.Background(), "ip4", host)
	if err != nil {
		fmt.Fprintln(to, key, word(err))
	} else {
		fmt.Fprintln(to, key, found[0])
	}
}

func attempt(to io.Writer, key, host, port string) {
	conn, err := dial(host, port)
	fmt.Fprintln(to, key, word(err))
	if err == nil {
		conn.Close()
	}
}

func serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	lines.Scan()
	asked := strings.SplitN(strings.TrimSuffix(strings.TrimPrefix(lines.Text(), "GET /"), " HTTP/1.1"), "/", 5)
	for lines.Scan() && lines.Text() != "" {
	}
	if len(asked) != 5 {
		return
	}
	said := &strings.Builder{}
	fmt.Fprintf(said, "peer %s\nlocal %s\n", conn.RemoteAddr(), conn.LocalAddr())
	fetch(said, asked[0])
	look(said, "dns", net.DefaultResolver, asked[0])
	look(said, "resolver", &net.Resolver{PreferGo: true}, asked[0])
	fmt.Fprintln(said, "env", os.Getenv(asked[3]))
	file, err := os.ReadFile("/" + asked[4])
	if err != nil {
		file = []byte(err.Error())
	}
	hostname, _ := os.Hostname()
	fmt.Fprintf(said, "file %s\nhostname %s\n", strings.TrimSpace(string(file)), hostname)
	attempt(said, "refused", asked[0], asked[1])
	attempt(said, "unreachable", asked[2], "80")
	attempt(said, "unknown", "nobody.example", "80")
	fmt.Fprintln(said, "by", os.Getpid())
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", said.Len(), said)
}

func main() {
	listener, err := net.Listen("tcp", ":"+os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("listening", os.Args[1])
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go serve(conn)
	}
}
