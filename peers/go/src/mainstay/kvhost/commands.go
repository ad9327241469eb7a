package main

import (
	"errors"
	"fmt"
	"time"
)

// holdLimit ends a host that its test has forgotten.
const holdLimit = 10 * time.Minute

func put(o options, key, value string) error {
	return with(o, func(s *session) error {
		return s.store.Put(key, []byte(value))
	})
}

func get(o options, key string) error {
	return with(o, func(s *session) error {
		return s.print(key)
	})
}

func putGet(o options, key, value string) error {
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

func hold(o options) error {
	return with(o, func(s *session) error {
		if err := s.store.Put("held", []byte("value")); err != nil {
			return err
		}
		if _, err := fmt.Printf("pid=%d\n", s.cmd.Process.Pid); err != nil {
			return err
		}
		time.Sleep(holdLimit)
		return errors.New("nobody killed the host")
	})
}

func versions(o options) error {
	return with(o, func(s *session) error {
		if err := s.ping(); err != nil {
			return err
		}
		_, err := fmt.Println(s.client.NegotiatedVersion())
		return err
	})
}
