package gate

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

func TestMeasure(t *testing.T) {
	for name, c := range map[string]struct {
		max, ratio string
		value      float64
		stable     *float64
		want       state.Sample
	}{
		"below": {max: "0.01", value: 0.004, want: state.Sample{Outcome: state.OutcomeGood, Value: "0.004", Limit: "0.01"}},
		"equal": {max: "0.03", value: 3.0 / 100, want: state.Sample{Outcome: state.OutcomeGood, Value: "0.03", Limit: "0.03"}},
		"above": {max: "0.01", value: 1.0 / 3, want: state.Sample{Outcome: state.OutcomeBad, Value: "0.3333", Limit: "0.01",
			Reason: "0.3333 is above the limit of 0.01"}},
		"NaN":      {max: "0.01", value: math.NaN(), want: state.Sample{Reason: "the new revision's value is NaN, which is no number to go by"}},
		"infinite": {max: "0.01", value: math.Inf(1), want: state.Sample{Reason: "the new revision's value is +Inf, which is no number to go by"}},
		"ratio kept": {ratio: "1.5", value: 0.14, stable: new(0.1),
			want: state.Sample{Outcome: state.OutcomeGood, Value: "0.14", Limit: "0.15 (1.5 × 0.1 of the stable revision)"}},
		"ratio not kept": {ratio: "1.5", value: 0.16, stable: new(0.1),
			want: state.Sample{Outcome: state.OutcomeBad, Value: "0.16", Limit: "0.15 (1.5 × 0.1 of the stable revision)",
				Reason: "0.16 is above the limit of 0.15 (1.5 × 0.1 of the stable revision)"}},
		"both, the ratio is narrower": {max: "0.5", ratio: "1.5", value: 0.2, stable: new(0.1),
			want: state.Sample{Outcome: state.OutcomeBad, Value: "0.2", Limit: "0.15 (1.5 × 0.1 of the stable revision)",
				Reason: "0.2 is above the limit of 0.15 (1.5 × 0.1 of the stable revision)"}},
		"both, max is narrower": {max: "0.12", ratio: "1.5", value: 0.13, stable: new(0.1),
			want: state.Sample{Outcome: state.OutcomeBad, Value: "0.13", Limit: "0.12", Reason: "0.13 is above the limit of 0.12"}},
		"above max, whatever stable does": {max: "0.5", ratio: "1.5", value: 0.6,
			want: state.Sample{Outcome: state.OutcomeBad, Value: "0.6", Limit: "0.5", Reason: "0.6 is above the limit of 0.5"}},
		"no stable value":     {max: "0.5", ratio: "1.5", want: state.Sample{Reason: "there is no value of the stable revision to compare with"}},
		"stable value is NaN": {ratio: "1.5", stable: new(math.NaN()), want: state.Sample{Reason: "the stable revision's value is NaN, which is no number to compare with"}},
		"stable 0 and max":    {max: "0.01", ratio: "1.5", value: 0.005, stable: new(0.0), want: state.Sample{Outcome: state.OutcomeGood, Value: "0.005", Limit: "0.01"}},
		"stable 0, both 0":    {ratio: "1.5", stable: new(0.0), want: state.Sample{Outcome: state.OutcomeGood, Value: "0", Limit: "0 (1.5 × 0 of the stable revision)"}},
		"stable 0, one error": {ratio: "1.5", value: 0.005, stable: new(0.0), want: state.Sample{Outcome: state.OutcomeBad, Value: "0.005",
			Limit: "0 (1.5 × 0 of the stable revision)", Reason: "0.005 is above the limit of 0 (1.5 × 0 of the stable revision)"}},
		"no limit": {value: 1, want: state.Sample{Outcome: state.OutcomeInvalid, Reason: "the gate has no limit: set metric.max or metric.maxRatioToStable"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Measure(&v1alpha1.MetricGate{Max: c.max, MaxRatioToStable: c.ratio}, c.value, c.stable)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
