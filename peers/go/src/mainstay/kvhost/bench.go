package main

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"

	"mainstay/host"
)

const (
	warmUp   = 200 * time.Millisecond
	benchKey = "bench"
)

// benchReport counts a call when it has succeeded; a failure is not a call.
type benchReport struct {
	Calls       int     `json:"calls"`
	Failures    int     `json:"failures"`
	Seconds     float64 `json:"seconds"`
	PerSecond   float64 `json:"per_second"`
	P50         float64 `json:"p50_us"`
	P99         float64 `json:"p99_us"`
	Concurrency int     `json:"concurrency"`
}

func bench(o host.Options, seconds float64, concurrency, valueSize int) error {
	if seconds <= 0 || concurrency < 1 || valueSize < 0 {
		return errors.New("--seconds, --concurrency and --value-size must be positive")
	}
	return with(o, func(s *session) error {
		value := bytes.Repeat([]byte{'x'}, valueSize)
		if err := s.store.Put(benchKey, value); err != nil {
			return err
		}

		s.load(warmUp, concurrency, valueSize)
		begin := time.Now()
		all := s.load(time.Duration(seconds*float64(time.Second)), concurrency, valueSize)
		elapsed := time.Since(begin).Seconds()

		sortDurations(all.latencies)
		err := printJSON(benchReport{
			Calls:       len(all.latencies),
			Failures:    all.failures,
			Seconds:     round(elapsed, 3),
			PerSecond:   round(float64(len(all.latencies))/elapsed, 1),
			P50:         micros(percentile(all.latencies, 50)),
			P99:         micros(percentile(all.latencies, 99)),
			Concurrency: concurrency,
		})
		if err == nil && all.failures > 0 {
			err = fmt.Errorf("%d calls failed, the first one: %w", all.failures, all.err)
		}
		return err
	})
}

// tally is what one caller has seen.
type tally struct {
	latencies []time.Duration
	failures  int
	err       error
}

// load lets the callers read in a closed loop. A call that is under way at the
// end is waited for and counted, as is the time that it takes.
func (s *session) load(length time.Duration, concurrency, valueSize int) tally {
	tallies := make([]tally, concurrency)
	end := time.Now().Add(length)

	var callers sync.WaitGroup
	for i := range tallies {
		callers.Add(1)
		go func(t *tally) {
			defer callers.Done()
			s.read(t, end, valueSize)
		}(&tallies[i])
	}
	callers.Wait()

	var all tally
	for _, t := range tallies {
		all.latencies = append(all.latencies, t.latencies...)
		all.failures += t.failures
		if all.err == nil {
			all.err = t.err
		}
	}
	return all
}

func (s *session) read(shared *tally, end time.Time, valueSize int) {
	// Counting in a local variable keeps the callers off each other's cache line.
	var t tally
	for begin := time.Now(); begin.Before(end); {
		value, err := s.store.Get(benchKey)
		now := time.Now()
		if err == nil && len(value) != valueSize {
			err = fmt.Errorf("a value of %d bytes came back with %d", valueSize, len(value))
		}
		if err == nil {
			t.latencies = append(t.latencies, now.Sub(begin))
		} else {
			t.failures++
			if t.err == nil {
				t.err = err
			}
		}
		begin = now
	}
	*shared = t
}
