package main

import (
	"mainstay/host"
	"mainstay/kv"
)

// session is one running plugin that serves a store.
type session struct {
	*host.Session
	store kv.Store
}

func with(o host.Options, command func(*session) error) error {
	return host.With(o, &kv.Plugin{}, func(s *host.Session) error {
		return command(&session{s, s.Service.(kv.Store)})
	})
}

func open(o host.Options) (*session, error) {
	s, err := host.Open(o, &kv.Plugin{})
	if err != nil {
		return nil, err
	}
	return &session{s, s.Service.(kv.Store)}, nil
}
