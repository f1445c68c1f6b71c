// For the matrix of runtimes (conformance/): a server that answers two calls, and a client that makes one of them.
// In this program, because gRPC takes long to compile.
//
// Greet: "greetings to ADDRESS at ADDRESS:PORT", the caller's and where it came. Observe: what facts.c of conformance/
// answers, of a path whose HOST is NAME:PORT of another such server. observe prints its own end of the connection and the
// answer of Observe.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

const patience = 20 * time.Second

func callOnce(address, method, message string, options ...grpc.DialOption) (string, *peer.Peer, error) {
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})), grpc.WithNoProxy())
	conn, err := grpc.NewClient(address, options...)
	if err != nil {
		return "", nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	in, out, to := []byte(message), []byte{}, &peer.Peer{}
	err = conn.Invoke(ctx, "/"+service+"/"+method, &in, &out, grpc.Peer(to))
	return string(out), to, err
}

func observe(path string, from *peer.Peer) string {
	asked := strings.SplitN(path, "/", 6)
	if len(asked) != 6 {
		return ""
	}
	host, port, unreachable, variable, file := asked[1], asked[2], asked[3], asked[4], "/"+asked[5]
	name, _, _ := net.SplitHostPort(host)
	said := &strings.Builder{}
	fmt.Fprintf(said, "peer %s\nlocal %s\n", from.Addr, from.LocalAddr)
	// gRPC's default resolver: Go's, and search domains as for everybody.
	greeting, to, err := callOnce("dns:///"+host, "Greet", "")
	if err != nil {
		fmt.Fprintln(said, "out", err)
	} else {
		source, _, _ := net.SplitHostPort(to.LocalAddr.String())
		fmt.Fprintf(said, "out %s\nto %s\nfrom %s\n", greeting, to.Addr, source)
		address, _, _ := net.SplitHostPort(to.Addr.String())
		fmt.Fprintln(said, "resolver", address)
	}
	if found, err := net.DefaultResolver.LookupIP(context.Background(), "ip4", name); err == nil {
		fmt.Fprintln(said, "dns", found[0])
	}
	contents, _ := os.ReadFile(file)
	hostname, _ := os.Hostname()
	fmt.Fprintf(said, "env %s\nfile %s\nhostname %s\n", os.Getenv(variable), strings.TrimSpace(string(contents)), hostname)
	for _, each := range [][2]string{{"refused", name + ":" + port}, {"unreachable", unreachable + ":80"}, {"unknown", "nobody.example:80"}} {
		_, _, err := callOnce("dns:///"+each[1], "Greet", "")
		fmt.Fprintln(said, each[0], status.Convert(err).Message())
	}
	fmt.Fprintln(said, "by", os.Getpid())
	return said.String()
}

func serveObserver(port string) {
	handle := func(answer func(message string, from *peer.Peer) string) func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
		return func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var message []byte
			if err := decode(&message); err != nil {
				return nil, err
			}
			from, _ := peer.FromContext(ctx)
			reply := []byte(answer(string(message), from))
			return &reply, nil
		}
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodec(raw{}))
	server.RegisterService(&grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{
		{MethodName: "Observe", Handler: handle(observe)},
		{MethodName: "Greet", Handler: handle(func(_ string, from *peer.Peer) string {
			address, _, _ := net.SplitHostPort(from.Addr.String())
			return "greetings to " + address + " at " + from.LocalAddr.String()
		})},
	}}, struct{}{})
	fmt.Println("listening", port)
	panic(server.Serve(listener))
}

func askObserver(address, path string) {
	var own net.Addr
	dialer := grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
		if err == nil {
			own = conn.LocalAddr()
		}
		return conn, err
	})
	said, _, err := callOnce("passthrough:///"+address, "Observe", path, dialer)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%s\n%s", own, said)
}
