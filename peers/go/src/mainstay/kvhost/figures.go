package main

import (
	"encoding/json"
	"math"
	"os"
	"sort"
	"time"
)

func sortDurations(all []time.Duration) {
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
}

// percentile is the nearest rank, so always a duration that was measured.
func percentile(sorted []time.Duration, percent float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(percent / 100 * float64(len(sorted))))
	return sorted[rank-1]
}

func micros(d time.Duration) float64 {
	return round(float64(d)/float64(time.Microsecond), 1)
}

func round(x float64, digits int) float64 {
	unit := math.Pow10(digits)
	return math.Round(x*unit) / unit
}

func printJSON(report interface{}) error {
	return json.NewEncoder(os.Stdout).Encode(report)
}
