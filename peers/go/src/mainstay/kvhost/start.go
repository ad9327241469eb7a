package main

import (
	"errors"
	"time"

	"mainstay/host"
)

type startReport struct {
	Count    int     `json:"count"`
	StartP50 float64 `json:"start_p50_us"`
	StartMin float64 `json:"start_min_us"`
	KillP50  float64 `json:"kill_p50_us"`
}

// start measures from before the process exists to the end of the first call:
// a connection that is still being made when Client returns is not a start.
func start(o host.Options, count int) error {
	if count < 1 {
		return errors.New("--count must be positive")
	}

	var starts, kills []time.Duration
	for i := 0; i < count; i++ {
		begin := time.Now()
		s, err := open(o)
		if err != nil {
			return err
		}
		err = s.store.Put("first", []byte("call"))
		started := time.Since(begin)

		begin = time.Now()
		if killed := s.Kill(); err == nil {
			err = killed
		}
		if err != nil {
			return err
		}
		starts = append(starts, started)
		kills = append(kills, time.Since(begin))
	}

	sortDurations(starts)
	sortDurations(kills)
	return printJSON(startReport{
		Count:    count,
		StartP50: micros(percentile(starts, 50)),
		StartMin: micros(starts[0]),
		KillP50:  micros(percentile(kills, 50)),
	})
}
