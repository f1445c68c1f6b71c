// PORT [msg]. Answers each datagram "local go sees ADDRESS:PORT: TEXT"; msg: by recvmsg(2) and sendmsg(2).
package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	address, _ := net.ResolveUDPAddr("udp", ":"+os.Args[1])
	conn, err := net.ListenUDP("udp", address)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("bound", conn.LocalAddr().(*net.UDPAddr).Port)
	bytes, control := make([]byte, 2048), make([]byte, 512)
	for {
		var count int
		var from *net.UDPAddr
		if len(os.Args) > 2 {
			count, _, _, from, err = conn.ReadMsgUDP(bytes, control)
		} else {
			count, from, err = conn.ReadFromUDP(bytes)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		answer := []byte(fmt.Sprintf("local go sees %s:%d: %s", from.IP, from.Port, bytes[:count]))
		if len(os.Args) > 2 {
			_, _, err = conn.WriteMsgUDP(answer, nil, from)
		} else {
			_, err = conn.WriteToUDP(answer, from)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}
