// Package host runs one plugin for a command, and sees to its end.
package host

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"mainstay/contract"
)

// pluginName never goes on the wire: a gRPC host looks it up in its own map.
const pluginName = "plugin"

const (
	startTimeout = 10 * time.Second
	killTimeout  = 10 * time.Second
	reapTimeout  = 2 * time.Second
)

// Options say how to start the plugin. They may stand before the command or
// after it.
type Options struct {
	Path     string
	AutoMTLS bool
	Quiet    bool
}

// Register makes flags of them.
func (o *Options) Register(flags *flag.FlagSet) {
	// The present value is the default, else a second registration would undo
	// what was parsed before it.
	flags.StringVar(&o.Path, "plugin", o.Path, "")
	flags.BoolVar(&o.AutoMTLS, "auto-mtls", o.AutoMTLS, "")
	flags.BoolVar(&o.Quiet, "quiet", o.Quiet, "")
}

// Session is one running plugin.
type Session struct {
	Client *plugin.Client
	Cmd    *exec.Cmd
	// Service is what the plugin's GRPCClient has made.
	Service interface{}
	wire    plugin.ClientProtocol
}

// With runs the command against a fresh plugin and stops it in every case. The
// command's error comes first: what goes wrong at the end mostly follows from it.
func With(o Options, p plugin.Plugin, command func(*Session) error) error {
	s, err := Open(o, p)
	if err != nil {
		return err
	}
	err = command(s)
	if killed := s.Kill(); err == nil {
		err = killed
	}
	return err
}

// Open starts the plugin. gRPC connects in the background: the first call is
// the first proof that the plugin answers.
func Open(o Options, p plugin.Plugin) (*Session, error) {
	cmd := exec.Command(o.Path)
	s := &Session{
		Client: plugin.NewClient(&plugin.ClientConfig{
			HandshakeConfig:  contract.Handshake,
			Plugins:          plugin.PluginSet{pluginName: p},
			Cmd:              cmd,
			StartTimeout:     startTimeout,
			AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
			Logger:           logger(o),
			AutoMTLS:         o.AutoMTLS,
		}),
		Cmd: cmd,
	}
	if err := s.connect(); err != nil {
		// The process may be running although the handshake failed.
		s.Kill()
		return nil, err
	}
	return s, nil
}

func (s *Session) connect() error {
	wire, err := s.Client.Client()
	if err != nil {
		return err
	}
	raw, err := wire.Dispense(pluginName)
	if err != nil {
		return err
	}
	s.wire, s.Service = wire, raw
	return nil
}

// Ping asks the health service. go-plugin pings without a deadline.
func (s *Session) Ping() error {
	done := make(chan error, 1)
	go func() { done <- s.wire.Ping() }()
	select {
	case err := <-done:
		return err
	case <-time.After(contract.CallTimeout):
		return errors.New("the plugin did not answer a ping")
	}
}

// Kill stops the plugin and reports any end but a clean one: Exited is true
// after a SIGKILL as well, so the exit status has to be looked at.
func (s *Session) Kill() error {
	done := make(chan struct{})
	go func() {
		s.Client.Kill()
		close(done)
	}()

	select {
	case <-done:
	case <-time.After(killTimeout):
		// The Shutdown call has no deadline of its own. Without its process the
		// call ends, and Kill with it, unless a grandchild holds the pipes.
		if s.Cmd.Process != nil {
			s.Cmd.Process.Kill()
		}
		select {
		case <-done:
		case <-time.After(reapTimeout):
		}
		return errors.New("the plugin did not answer the shutdown")
	}

	if !s.Client.Exited() {
		return errors.New("the plugin has not exited after Kill")
	}
	if state := s.Cmd.ProcessState; !state.Success() {
		return fmt.Errorf("the plugin did not exit cleanly: %s", state)
	}
	return nil
}

func logger(o Options) hclog.Logger {
	if o.Quiet {
		return hclog.NewNullLogger()
	}
	return hclog.New(&hclog.LoggerOptions{Name: "host", Level: hclog.Debug, Output: os.Stderr})
}
