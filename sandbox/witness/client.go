// HOST PORT PATH, with package net: no cgo, so Go's own resolver and raw system calls. Output: see client.c.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

var names = map[syscall.Errno]string{
	syscall.ECONNREFUSED: "ECONNREFUSED", syscall.ECONNRESET: "ECONNRESET", syscall.EHOSTUNREACH: "EHOSTUNREACH",
	syscall.ENETUNREACH: "ENETUNREACH", syscall.ETIMEDOUT: "ETIMEDOUT", syscall.EACCES: "EACCES",
}

func fail(err error) {
	var errno syscall.Errno
	var unknownName *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &unknownName):
		fmt.Println("EAI_NONAME")
	case errors.As(err, &errno) && names[errno] != "":
		fmt.Println(names[errno])
	case errors.As(err, &timeout) && timeout.Timeout():
		fmt.Println("ETIMEDOUT")
	default:
		fmt.Println(err)
	}
	os.Exit(1)
}

func main() {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(os.Args[1], os.Args[2]), 20*time.Second)
	if err != nil {
		fail(err)
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", os.Args[3], os.Args[1])
	answer, err := io.ReadAll(conn)
	if err != nil {
		fail(err)
	}
	_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	fmt.Printf("%speer %s\nlocal %s\n", body, conn.RemoteAddr(), conn.LocalAddr())
}
