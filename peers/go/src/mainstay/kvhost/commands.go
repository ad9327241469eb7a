package main

import (
	"errors"
	"fmt"
	"time"

	"mainstay/host"
)

// holdLimit ends a host that its test has forgotten.
const holdLimit = 10 * time.Minute

func put(o host.Options, key, value string) error {
	return with(o, func(s *session) error {
		return s.store.Put(key, []byte(value))
	})
}

func get(o host.Options, key string) error {
	return with(o, func(s *session) error {
		return s.print(key)
	})
}

func putGet(o host.Options, key, value string) error {
	return with(o, func(s *session) error {
		if err := s.store.Put(key, []byte(value)); err != nil {
			return err
		}
		return s.print(key)
	})
}

func (s *session) print(key string) error {
	value, err := s.store.Get(key)
	if err != nil {
		return err
	}
	_, err = fmt.Printf("%s\n", value)
	return err
}

func hold(o host.Options) error {
	return with(o, func(s *session) error {
		if err := s.store.Put("held", []byte("value")); err != nil {
			return err
		}
		if _, err := fmt.Printf("pid=%d\n", s.Cmd.Process.Pid); err != nil {
			return err
		}
		time.Sleep(holdLimit)
		return errors.New("nobody killed the host")
	})
}

func versions(o host.Options) error {
	return with(o, func(s *session) error {
		if err := s.Ping(); err != nil {
			return err
		}
		_, err := fmt.Println(s.Client.NegotiatedVersion())
		return err
	})
}
