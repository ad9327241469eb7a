// Command counterplugin keeps sums for the go-plugin host that started it, and
// has that host do the adding.
package main

import (
	"context"
	"sync"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mainstay/contract"
	"mainstay/counter"
)

func main() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: contract.Handshake,
		Plugins: plugin.PluginSet{
			"counter": &counter.Plugin{Serve: func(broker *plugin.GRPCBroker) counter.CounterServer {
				return &sums{broker: broker, values: make(map[string]int64)}
			}},
		},
		GRPCServer: plugin.DefaultGRPCServer,
	})
}

type sums struct {
	broker *plugin.GRPCBroker
	mu     sync.Mutex
	values map[string]int64
}

func (s *sums) Get(_ context.Context, request *counter.GetRequest) (*counter.GetResponse, error) {
	s.mu.Lock()
	value, ok := s.values[request.Key]
	s.mu.Unlock()

	if !ok {
		return nil, status.Errorf(codes.NotFound, "key %q not found", request.Key)
	}
	return &counter.GetResponse{Value: value}, nil
}

func (s *sums) Put(_ context.Context, request *counter.PutRequest) (*counter.Empty, error) {
	s.mu.Lock()
	value := s.values[request.Key]
	s.mu.Unlock()

	sum, err := counter.Add(s.broker, request.AddServer, value, request.Value)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.values[request.Key] = sum
	s.mu.Unlock()
	return &counter.Empty{}, nil
}
