// What a program of Go does before it does anything: finds its settings and its system.
package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"time"

	"orders/words"
)

func check(err error) {
	if err != nil {
		fmt.Println("failed:", err)
	}
}

func main() {
	here, err := os.Getwd()
	check(err)
	resolved, err := filepath.EvalSymlinks(here)
	check(err)
	fmt.Println(words.Word, resolved == here)
	settings, err := os.ReadFile("../settings.json")
	check(err)
	fmt.Print(string(settings))
	pool, err := x509.SystemCertPool()
	check(err)
	fmt.Println(len(pool.Subjects()) > 0)
	me, err := user.LookupId("0")
	check(err)
	berlin, err := time.LoadLocation("Europe/Berlin")
	check(err)
	fmt.Println(me.Username, time.Unix(0, 0).In(berlin))
	scratch, err := os.MkdirTemp("", "runtimes")
	check(err)
	check(os.MkdirAll(filepath.Join(scratch, "made/by"), 0o755))
	check(os.WriteFile(filepath.Join(scratch, "made/a"), []byte("written"), 0o600))
	check(os.Rename(filepath.Join(scratch, "made/a"), filepath.Join(scratch, "made/b")))
	entries, err := os.ReadDir(filepath.Join(scratch, "made"))
	check(err)
	fmt.Println(len(entries), entries)
	check(os.RemoveAll(scratch))
	output, err := exec.Command("sh", "-c", "pwd").Output()
	check(err)
	fmt.Print(string(output))
}
