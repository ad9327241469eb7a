// Command kvplugin serves a store in memory to the go-plugin host that started
// it.
package main

import (
	"context"
	"sync"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mainstay/contract"
	"mainstay/kv"
)

func main() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: contract.Handshake,
		Plugins: plugin.PluginSet{
			"kv": &kv.Plugin{Impl: &store{values: make(map[string][]byte)}},
		},
		GRPCServer: plugin.DefaultGRPCServer,
	})
}

type store struct {
	mu     sync.Mutex
	values map[string][]byte
}

func (s *store) Get(_ context.Context, request *kv.GetRequest) (*kv.GetResponse, error) {
	s.mu.Lock()
	value, ok := s.values[request.Key]
	s.mu.Unlock()

	if !ok {
		return nil, status.Errorf(codes.NotFound, "key %q not found", request.Key)
	}
	return &kv.GetResponse{Value: value}, nil
}

func (s *store) Put(_ context.Context, request *kv.PutRequest) (*kv.Empty, error) {
	s.mu.Lock()
	s.values[request.Key] = request.Value
	s.mu.Unlock()

	return &kv.Empty{}, nil
}
