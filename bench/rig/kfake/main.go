// kfake as a broker of its own: `kfake PORT DIRECTORY [sync]` keeps its data there and runs until it is killed.
// With `sync` every batch is forced to disk before it is acknowledged.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/twmb/franz-go/pkg/kfake"
)

func main() {
	port, err := strconv.Atoi(os.Args[1])
	if err == nil {
		options := []kfake.Opt{kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(os.Args[2])}
		if len(os.Args) > 3 && os.Args[3] == "sync" {
			options = append(options, kfake.SyncWrites())
		}
		_, err = kfake.NewCluster(options...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	select {}
}
