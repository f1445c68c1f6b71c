// The soak's work in Go, with package net only: its own resolver and raw system calls, a thread for each that blocks.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const patience = 30 * time.Second

func web() error {
	conn, err := net.DialTimeout("tcp", os.Getenv("SOAK_NAME")+":80", patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err == nil && !strings.Contains(string(answer), "greetings to ") {
		err = fmt.Errorf("answered by %q", answer)
	}
	return err
}

func echo(network, to string, sent []byte) error {
	conn, err := net.DialTimeout(network, to, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(sent); err != nil {
		return err
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if !bytes.Equal(got, sent) {
		return fmt.Errorf("%s: another echo", network)
	}
	return nil
}

func file() error {
	got, err := os.ReadFile("/config/greeting")
	if err == nil && !strings.Contains(string(got), os.Getenv("SOAK_GREETING")) {
		err = fmt.Errorf("the file has %q", got)
	}
	return err
}

func main() {
	seed, _ := strconv.Atoi(os.Args[1])
	sent := bytes.Repeat([]byte(os.Args[1]), 1+seed%60)
	each := []func() error{
		web, file,
		func() error { return echo("tcp", os.Getenv("SOAK_ECHO"), sent) },
		func() error { return echo("udp", os.Getenv("SOAK_UDP"), sent) },
	}
	var all sync.WaitGroup
	for i := 0; i < 40; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			if err := each[i%len(each)](); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}()
	}
	all.Wait()
	fmt.Println("ok")
}
