// A gRPC server that says its name, and a client that says in JSON what it observes of one: all kinds of calls on one
// connection, with whatever a user's metadata is. grpc.mjs beside this folder does the same in Node.
//
//	program server NAME PORT
//	program client ADDRESS:PORT USER
//	program observer PORT
//	program observe ADDRESS:PORT PATH
//	program version
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Messages are bytes: nothing needs to be generated.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = append([]byte(nil), data...); return nil }
func (raw) Name() string                       { return "raw" }

const service = "inpod.Witness"

func main() {
	if len(os.Args) == 4 && os.Args[1] == "server" {
		serve(os.Args[2], os.Args[3])
	} else if len(os.Args) == 4 && os.Args[1] == "client" {
		ask(os.Args[2], os.Args[3])
	} else if len(os.Args) == 3 && os.Args[1] == "observer" {
		serveObserver(os.Args[2])
	} else if len(os.Args) == 4 && os.Args[1] == "observe" {
		askObserver(os.Args[2], os.Args[3])
	} else if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Println(grpc.Version)
	} else {
		fmt.Fprintln(os.Stderr, "server NAME PORT, client ADDRESS:PORT USER, observer PORT, observe ADDRESS:PORT PATH, version")
		os.Exit(2)
	}
}

func serve(name, port string) {
	tell := func(stream grpc.ServerStream) {
		given, _ := metadata.FromIncomingContext(stream.Context())
		stream.SetHeader(metadata.Pairs("x-from", name))
		stream.SetTrailer(metadata.Pairs("x-echo", strings.Join(given["x-echo"], ","), "x-data-bin", "\x00\xff"+name))
	}
	receive := func(stream grpc.ServerStream) ([]byte, error) {
		var message []byte
		err := stream.RecvMsg(&message)
		return message, err
	}
	send := func(stream grpc.ServerStream, text string) error {
		message := []byte(text)
		return stream.SendMsg(&message)
	}
	handlers := map[string]func(grpc.ServerStream) error{
		"Unary": func(stream grpc.ServerStream) error {
			message, err := receive(stream)
			if err != nil {
				return err
			}
			return send(stream, name+" "+string(message))
		},
		"Download": func(stream grpc.ServerStream) error {
			message, err := receive(stream)
			if err != nil {
				return err
			}
			count, _ := strconv.Atoi(string(message))
			for i := 0; i < count; i++ {
				if err := send(stream, strings.Repeat(strconv.Itoa(i%10), 100_000)); err != nil {
					return err
				}
			}
			return nil
		},
		"Upload": func(stream grpc.ServerStream) error {
			count, length := 0, 0
			for {
				message, err := receive(stream)
				if err == io.EOF {
					return send(stream, fmt.Sprintf("%s %d %d", name, count, length))
				} else if err != nil {
					return err
				}
				count++
				length += len(message)
			}
		},
		"Chat": func(stream grpc.ServerStream) error {
			for {
				message, err := receive(stream)
				if err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				if err := send(stream, name+": "+string(message)); err != nil {
					return err
				}
			}
		},
		"Fail": func(stream grpc.ServerStream) error {
			return status.Error(codes.FailedPrecondition, name+" will not: ü")
		},
		"Wait": func(stream grpc.ServerStream) error {
			<-stream.Context().Done()
			fmt.Println(name, "heard of the end")
			return stream.Context().Err()
		},
	}
	desc := grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil)}
	for method, handler := range handlers {
		desc.Streams = append(desc.Streams, grpc.StreamDesc{
			StreamName: method, ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error {
				tell(stream)
				return handler(stream)
			},
		})
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodec(raw{}))
	server.RegisterService(&desc, struct{}{})
	fmt.Println("listening", port)
	panic(server.Serve(listener))
}

type observed struct {
	Call    string
	Code    string
	Message string
	From    []string
	Echo    []string
	Data    string
	Replies []string
	Count   int
	Length  int
	Sum     string
}

func ask(address, user string) {
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		panic(err)
	}
	call := func(method string, timeout time.Duration, cancelled bool, messages ...string) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		ctx = metadata.AppendToOutgoingContext(ctx, "x-user", user, "x-echo", "one", "x-echo", "two")
		found := observed{Call: method}
		sum := sha256.New()
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+service+"/"+method)
		if err != nil {
			panic(err)
		}
		reply := func() error {
			var message []byte
			err := stream.RecvMsg(&message)
			if err != nil {
				return err
			}
			found.Count++
			found.Length += len(message)
			sum.Write(message)
			if len(message) < 1000 {
				found.Replies = append(found.Replies, string(message))
			}
			return nil
		}
		for _, text := range messages {
			message := []byte(text)
			if err = stream.SendMsg(&message); err != nil {
				break
			}
			// What was said is answered before the next word.
			if method == "Chat" {
				if err = reply(); err != nil {
					break
				}
			}
		}
		if cancelled {
			time.AfterFunc(200*time.Millisecond, cancel)
		} else {
			stream.CloseSend()
		}
		for err == nil || err == io.EOF {
			if err = reply(); err != nil {
				break
			}
		}
		if err != io.EOF {
			found.Code = status.Code(err).String()
			found.Message = status.Convert(err).Message()
		}
		if head, _ := stream.Header(); err == io.EOF || found.Code == "FailedPrecondition" {
			found.From = append(head["x-from"], stream.Trailer()["x-from"]...)
		}
		found.Echo = stream.Trailer()["x-echo"]
		found.Data = fmt.Sprintf("%x", strings.Join(stream.Trailer()["x-data-bin"], ","))
		found.Sum = fmt.Sprintf("%x", sum.Sum(nil))
		line, _ := json.Marshal(found)
		fmt.Println(string(line))
	}
	const long = 30 * time.Second
	call("Unary", long, false, "hello")
	call("Unary", long, false, strings.Repeat("long", 500_000))
	call("Download", long, false, "50")
	call("Upload", long, false, "a", strings.Repeat("b", 1_000_000), "c")
	call("Chat", long, false, "one", "two", "three")
	call("Fail", long, false)
	call("Wait", 300*time.Millisecond, false)
	call("Wait", long, true)
	call("Missing", long, false)
}
