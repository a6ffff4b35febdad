package gate

import (
	"fmt"
	"math"
	"strconv"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// Measure holds a value of the candidate against the limits of a metric gate. STABLE is the stable
// revision's value of the same time, and is looked at only with maxRatioToStable; nil means that there is
// none. With both limits, both must be kept.
//
// A stable value of 0 is no measure for a ratio: a thousandth would be infinitely worse. Then metric.max
// alone decides; without metric.max only 0 is good.
func Measure(m *v1alpha1.MetricGate, value float64, stable *float64) state.Sample {
	if !finite(value) {
		return inconclusive("the new revision's value is %s, which is no number to go by", Number(value))
	}
	limit, words := math.Inf(1), ""
	if m.Max != "" {
		parsed, err := strconv.ParseFloat(m.Max, 64)
		if err != nil {
			return state.Sample{Outcome: state.OutcomeInvalid, Reason: fmt.Sprintf("metric.max is no number: %v", err)}
		}
		if limit, words = parsed, m.Max; value > limit {
			return against(value, limit, words) // whatever the stable revision does
		}
	}
	if m.MaxRatioToStable != "" {
		ratio, err := strconv.ParseFloat(m.MaxRatioToStable, 64)
		switch {
		case err != nil:
			return state.Sample{Outcome: state.OutcomeInvalid, Reason: fmt.Sprintf("metric.maxRatioToStable is no number: %v", err)}
		case stable == nil:
			return inconclusive("there is no value of the stable revision to compare with")
		case !finite(*stable):
			return inconclusive("the stable revision's value is %s, which is no number to compare with", Number(*stable))
		case *stable == 0 && m.Max != "": // max alone decides
		case ratio**stable < limit:
			limit = ratio * *stable
			words = fmt.Sprintf("%s (%s × %s of the stable revision)", Number(limit), m.MaxRatioToStable, Number(*stable))
		}
	}
	if words == "" { // the schema asks for a limit
		return state.Sample{Outcome: state.OutcomeInvalid, Reason: "the gate has no limit: set metric.max or metric.maxRatioToStable"}
	}
	return against(value, limit, words)
}

func against(value, limit float64, words string) state.Sample {
	sample := state.Sample{Outcome: state.OutcomeGood, Value: Number(value), Limit: words}
	if value > limit {
		sample.Outcome = state.OutcomeBad
		sample.Reason = fmt.Sprintf("%s is above the limit of %s", sample.Value, words)
	}
	return sample
}

// Number is a number for people: four significant digits.
func Number(value float64) string { return strconv.FormatFloat(value, 'g', 4, 64) }

func finite(value float64) bool { return !math.IsNaN(value) && !math.IsInf(value, 0) }

func inconclusive(format string, args ...any) state.Sample {
	return state.Sample{Outcome: state.OutcomeInconclusive, Reason: fmt.Sprintf(format, args...)}
}
