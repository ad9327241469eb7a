// Package contract is what all the Go peers share.
package contract

import (
	"time"

	"github.com/hashicorp/go-plugin"
)

// CallTimeout bounds every call, so that a peer that hangs fails a test
// instead of hanging it.
const CallTimeout = 10 * time.Second

// Handshake is the one of go-plugin's own examples.
var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "BASIC_PLUGIN",
	MagicCookieValue: "hello",
}
