// A server of HTTP/2 without TLS that says its name: `program NAME PORT`. `/echo` sends back what comes, as it comes, and
// its length as a trailer.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
)

func main() {
	name, port := os.Args[1], os.Args[2]
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	http.HandleFunc("/echo", func(response http.ResponseWriter, request *http.Request) {
		response.Header().Set("X-Name", name)
		response.Header().Set("Trailer", "X-Length")
		length, block := 0, make([]byte, 32*1024)
		for {
			count, err := request.Body.Read(block)
			length += count
			response.Write(block[:count])
			http.NewResponseController(response).Flush()
			if err != nil {
				break
			}
		}
		response.Header().Set("X-Length", strconv.Itoa(length))
	})
	http.HandleFunc("/", func(response http.ResponseWriter, request *http.Request) {
		io.Copy(io.Discard, request.Body)
		fmt.Fprintln(response, name, request.Proto, request.URL.Path)
	})
	fmt.Println("listening", port)
	panic((&http.Server{Addr: ":" + port, Protocols: &protocols}).ListenAndServe())
}
