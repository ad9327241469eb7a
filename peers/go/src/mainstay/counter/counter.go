// Package counter is the contract of go-plugin's bidirectional example: a
// counter that has its host do the adding, over the broker.
package counter

import (
	"context"
	"fmt"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"mainstay/contract"
)

//go:generate protoc -I ../../../../../examples/proto/bidirectional --go_out=plugins=grpc:../.. ../../../../../examples/proto/bidirectional/counter.proto

// Offered is the number under which plugins offer an AddHelper of their own.
// This is not in go-plugin's example.
const Offered = 1000

// Host is what a host makes of the plugin.
type Host struct {
	counter CounterClient
	broker  *plugin.GRPCBroker
}

// Plugin implements plugin.GRPCPlugin. Only the plugin process needs Serve,
// which makes the service.
type Plugin struct {
	plugin.NetRPCUnsupportedPlugin
	Serve func(*plugin.GRPCBroker) CounterServer
}

// GRPCServer registers the service on the plugin's server, and offers another
// over the broker.
func (p *Plugin) GRPCServer(broker *plugin.GRPCBroker, s *grpc.Server) error {
	RegisterCounterServer(s, p.Serve(broker))
	go broker.AcceptAndServe(Offered, adding)
	return nil
}

// GRPCClient makes the host's view of it.
func (p *Plugin) GRPCClient(_ context.Context, broker *plugin.GRPCBroker, conn *grpc.ClientConn) (interface{}, error) {
	return &Host{NewCounterClient(conn), broker}, nil
}

// Put adds to the sum of the key, with a service that lives for this one call.
func (h *Host) Put(key string, value int64) error {
	// The server comes by a channel: it is made when the broker listens.
	made := make(chan *grpc.Server, 1)
	id := h.broker.NextId()
	go h.broker.AcceptAndServe(id, func(options []grpc.ServerOption) *grpc.Server {
		server := adding(options)
		made <- server
		return server
	})
	ctx, cancel := context.WithTimeout(context.Background(), contract.CallTimeout)
	defer cancel()
	_, err := h.counter.Put(ctx, &PutRequest{AddServer: id, Key: key, Value: value})
	select {
	case server := <-made:
		server.Stop()
	case <-ctx.Done():
	}
	return err
}

// Get returns the sum of the key.
func (h *Host) Get(key string) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), contract.CallTimeout)
	defer cancel()
	response, err := h.counter.Get(ctx, &GetRequest{Key: key})
	if err != nil {
		return 0, err
	}
	return response.Value, nil
}

// Add has the plugin do the adding.
func (h *Host) Add(a, b int64) (int64, error) {
	return Add(h.broker, Offered, a, b)
}

// Add calls what the other side accepts under a number.
func Add(broker *plugin.GRPCBroker, id uint32, a, b int64) (int64, error) {
	conn, err := broker.Dial(id)
	if err != nil {
		return 0, fmt.Errorf("cannot dial %d: %w", id, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), contract.CallTimeout)
	defer cancel()
	response, err := NewAddHelperClient(conn).Sum(ctx, &SumRequest{A: a, B: b})
	if err != nil {
		return 0, err
	}
	return response.R, nil
}

type adder struct{}

func (adder) Sum(_ context.Context, request *SumRequest) (*SumResponse, error) {
	return &SumResponse{R: request.A + request.B}, nil
}

func adding(options []grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(options...)
	RegisterAddHelperServer(server, adder{})
	return server
}
