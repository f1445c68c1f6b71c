// One request a connection: argv is PORT; the answer's body is the client's port. Says "ready".
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func main() {
	listener, err := net.Listen("tcp", ":"+os.Args[1])
	if err != nil {
		panic(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, port, _ := net.SplitHostPort(r.RemoteAddr)
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, port)
	})}
	fmt.Println("ready")
	panic(server.Serve(listener))
}
