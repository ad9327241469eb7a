package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"mainstay/kv"
)

const (
	startTimeout = 10 * time.Second
	killTimeout  = 10 * time.Second
	reapTimeout  = 2 * time.Second
)

// session is one running plugin.
type session struct {
	client *plugin.Client
	cmd    *exec.Cmd
	wire   plugin.ClientProtocol
	store  kv.Store
}

// with runs the command against a fresh plugin and stops it in every case. The
// command's error comes first: what goes wrong at the end mostly follows from it.
func with(o options, command func(*session) error) error {
	s, err := open(o)
	if err != nil {
		return err
	}
	err = command(s)
	if killed := s.kill(); err == nil {
		err = killed
	}
	return err
}

// open starts the plugin. gRPC connects in the background: the first call is
// the first proof that the plugin answers.
func open(o options) (*session, error) {
	cmd := exec.Command(o.path)
	s := &session{
		client: plugin.NewClient(&plugin.ClientConfig{
			HandshakeConfig:  kv.Handshake,
			Plugins:          plugin.PluginSet{kv.PluginName: &kv.Plugin{}},
			Cmd:              cmd,
			StartTimeout:     startTimeout,
			AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
			Logger:           logger(o),
			AutoMTLS:         o.autoMTLS,
		}),
		cmd: cmd,
	}
	if err := s.connect(); err != nil {
		// The process may be running although the handshake failed.
		s.kill()
		return nil, err
	}
	return s, nil
}

func (s *session) connect() error {
	wire, err := s.client.Client()
	if err != nil {
		return err
	}
	raw, err := wire.Dispense(kv.PluginName)
	if err != nil {
		return err
	}
	s.wire, s.store = wire, raw.(kv.Store)
	return nil
}

// ping asks the health service. go-plugin pings without a deadline.
func (s *session) ping() error {
	done := make(chan error, 1)
	go func() { done <- s.wire.Ping() }()
	select {
	case err := <-done:
		return err
	case <-time.After(kv.CallTimeout):
		return errors.New("the plugin did not answer a ping")
	}
}

// kill stops the plugin and reports any end but a clean one: Exited is true
// after a SIGKILL as well, so the exit status has to be looked at.
func (s *session) kill() error {
	done := make(chan struct{})
	go func() {
		s.client.Kill()
		close(done)
	}()

	select {
	case <-done:
	case <-time.After(killTimeout):
		// The Shutdown call has no deadline of its own. Without its process the
		// call ends, and Kill with it, unless a grandchild holds the pipes.
		if s.cmd.Process != nil {
			s.cmd.Process.Kill()
		}
		select {
		case <-done:
		case <-time.After(reapTimeout):
		}
		return errors.New("the plugin did not answer the shutdown")
	}

	if !s.client.Exited() {
		return errors.New("the plugin has not exited after Kill")
	}
	if state := s.cmd.ProcessState; !state.Success() {
		return fmt.Errorf("the plugin did not exit cleanly: %s", state)
	}
	return nil
}

func logger(o options) hclog.Logger {
	if o.quiet {
		return hclog.NewNullLogger()
	}
	return hclog.New(&hclog.LoggerOptions{Name: "kvhost", Level: hclog.Debug, Output: os.Stderr})
}
