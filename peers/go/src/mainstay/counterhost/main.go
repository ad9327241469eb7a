// Command counterhost starts a counter plugin and does the adding for it
// through Go's go-plugin, as a peer for tests.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"mainstay/counter"
	"mainstay/host"
)

const usage = `usage: counterhost --plugin PATH [--auto-mtls] [--quiet] COMMAND

  put KEY VALUE..  add the values, one call each, and print the sum
  offered A B      have the plugin add, and print the sum
`

func main() {
	err := run(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(usage)
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "counterhost:", strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(1)
	}
}

func run(args []string) error {
	var o host.Options
	flags := flag.NewFlagSet("counterhost", flag.ContinueOnError)
	// The error is printed once, by main.
	flags.SetOutput(io.Discard)
	o.Register(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() < 3 || o.Path == "" {
		return errors.New("a plugin, a command and its arguments are required, see --help")
	}
	command, args := flags.Arg(0), flags.Args()[1:]
	return host.With(o, &counter.Plugin{}, func(s *host.Session) error {
		sum, err := called(s.Service.(*counter.Host), command, args)
		if err == nil {
			_, err = fmt.Println(sum)
		}
		return err
	})
}

func called(plugin *counter.Host, command string, args []string) (int64, error) {
	switch command {
	case "put":
		values, err := numbers(args[1:])
		if err != nil {
			return 0, err
		}
		for _, value := range values {
			if err := plugin.Put(args[0], value); err != nil {
				return 0, err
			}
		}
		return plugin.Get(args[0])
	case "offered":
		values, err := numbers(args)
		if err != nil {
			return 0, err
		}
		return plugin.Add(values[0], values[1])
	default:
		return 0, fmt.Errorf("unknown command %q, see --help", command)
	}
}

func numbers(args []string) ([]int64, error) {
	var numbers []int64
	for _, arg := range args {
		number, err := strconv.ParseInt(arg, 10, 64)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, number)
	}
	return numbers, nil
}
