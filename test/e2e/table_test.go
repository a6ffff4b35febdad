package e2e

import (
	"fmt"
	"strings"
	"time"
)

// row is a line of a table, without its outer bars.
func row(cells ...any) string {
	words := make([]string, len(cells))
	for i, cell := range cells {
		words[i] = fmt.Sprint(cell)
	}
	return strings.Join(words, " | ")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
