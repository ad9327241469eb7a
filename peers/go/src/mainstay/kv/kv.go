// Package kv is the store's interface, and the glue that carries it over gRPC.
package kv

import (
	"context"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"mainstay/contract"
)

//go:generate protoc -I ../../../../../examples/proto --go_out=plugins=grpc:../.. ../../../../../examples/proto/kv.proto

// Store is the service as both sides see it.
type Store interface {
	Get(key string) ([]byte, error)
	Put(key string, value []byte) error
}

// Plugin implements plugin.GRPCPlugin. Only the plugin process needs an Impl.
type Plugin struct {
	plugin.NetRPCUnsupportedPlugin
	Impl KVServer
}

// GRPCServer registers the service on the plugin's server.
func (p *Plugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	RegisterKVServer(s, p.Impl)
	return nil
}

// GRPCClient makes the host's Store. The context that go-plugin passes here is
// cancelled only when the process has been reaped, so the calls bring their own.
func (p *Plugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (interface{}, error) {
	return &client{NewKVClient(conn)}, nil
}

// client is the Store of a host.
type client struct {
	kv KVClient
}

func (c *client) Get(key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), contract.CallTimeout)
	defer cancel()
	response, err := c.kv.Get(ctx, &GetRequest{Key: key})
	if err != nil {
		return nil, err
	}
	return response.Value, nil
}

func (c *client) Put(key string, value []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), contract.CallTimeout)
	defer cancel()
	_, err := c.kv.Put(ctx, &PutRequest{Key: key, Value: value})
	return err
}
