// Command kvhost starts a plugin that serves the store and uses it through
// Go's go-plugin, as a peer for tests and benchmarks.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"mainstay/host"
)

const usage = `usage: kvhost --plugin PATH [--auto-mtls] [--quiet] COMMAND

  put KEY VALUE       store one value
  get KEY             print a value (of a plugin that has just been started)
  put-get KEY VALUE   store one value, read it again and print it
  hold                store one value, print pid=PID of the plugin, wait to be killed
  bench [--seconds S] [--concurrency C] [--value-size N]
                      read one value for S seconds, print figures as JSON
  start [--count N]   start, call and stop the plugin N times, print figures as JSON
  versions            ping the plugin, print the negotiated app protocol version
`

func main() {
	err := run(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(usage)
		return
	}
	if err != nil {
		// Some of go-plugin's messages are paragraphs; tests want one line.
		fmt.Fprintln(os.Stderr, "kvhost:", strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(1)
	}
}

func run(args []string) error {
	var o host.Options
	flags := flagSet(&o)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("no command, see --help")
	}

	name, args := flags.Arg(0), flags.Args()[1:]
	flags = flagSet(&o)
	switch name {
	case "put":
		return positional(flags, args, 2, func(args []string) error { return put(o, args[0], args[1]) })
	case "get":
		return positional(flags, args, 1, func(args []string) error { return get(o, args[0]) })
	case "put-get":
		return positional(flags, args, 2, func(args []string) error { return putGet(o, args[0], args[1]) })
	case "hold":
		return positional(flags, args, 0, func([]string) error { return hold(o) })
	case "versions":
		return positional(flags, args, 0, func([]string) error { return versions(o) })
	case "bench":
		seconds := flags.Float64("seconds", 2, "")
		concurrency := flags.Int("concurrency", 1, "")
		valueSize := flags.Int("value-size", 16, "")
		return positional(flags, args, 0, func([]string) error {
			return bench(o, *seconds, *concurrency, *valueSize)
		})
	case "start":
		count := flags.Int("count", 10, "")
		return positional(flags, args, 0, func([]string) error { return start(o, *count) })
	default:
		return fmt.Errorf("unknown command %q, see --help", name)
	}
}

func flagSet(o *host.Options) *flag.FlagSet {
	flags := flag.NewFlagSet("kvhost", flag.ContinueOnError)
	// The error is printed once, by main.
	flags.SetOutput(io.Discard)
	o.Register(flags)
	return flags
}

func positional(flags *flag.FlagSet, args []string, want int, command func([]string) error) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != want {
		return fmt.Errorf("%d arguments expected, %d given, see --help", want, flags.NArg())
	}
	if flags.Lookup("plugin").Value.String() == "" {
		return errors.New("--plugin PATH is required")
	}
	return command(flags.Args())
}
