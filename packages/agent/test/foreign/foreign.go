// A server and a client of net/http: "serve ADDRESS" answers until it is killed, "get URL N" prints the sum of
// what N requests over one client were answered.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func serve(address string) error {
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		fmt.Fprintf(w, "%s %d %x %v\n", r.Method, len(body), sha256.Sum256(body), r.Trailer)
	})
	http.HandleFunc("/chunks", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-End")
		for i := 0; i < 5; i++ {
			io.WriteString(w, strings.Repeat(strconv.Itoa(i), 1000))
			w.(http.Flusher).Flush()
		}
		w.Header().Set("X-End", "yes")
	})
	page := bytes.Repeat([]byte("page "), 2000)
	http.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"page"`)
		http.ServeContent(w, r, "page.txt", time.Time{}, bytes.NewReader(page))
	})
	return http.ListenAndServe(address, nil)
}

func get(url string, count int) error {
	sum := sha256.New()
	for i := 0; i < count; i++ {
		response, err := http.Post(url, "text/plain", bytes.NewReader(bytes.Repeat([]byte{byte(i)}, i*1000)))
		if err != nil {
			return err
		}
		fmt.Fprintln(sum, response.StatusCode)
		if _, err := io.Copy(sum, response.Body); err != nil {
			return err
		}
		response.Body.Close()
	}
	fmt.Printf("%x\n", sum.Sum(nil))
	return nil
}

func main() {
	var err error
	if os.Args[1] == "serve" {
		err = serve(os.Args[2])
	} else {
		count, _ := strconv.Atoi(os.Args[3])
		err = get(os.Args[2], count)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
