package fault

import (
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func serve(w *Switches) int {
	ok := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusOK) })
	recorder := httptest.NewRecorder()
	w.Middleware(ok).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	return recorder.Code
}

func TestTheErrorRatioIsKept(t *testing.T) {
	for _, ratio := range []float64{0, 0.2, 1} {
		w := New(Settings{ErrorRatio: ratio})
		const requests = 5000
		failed := 0
		for range requests {
			if serve(w) == http.StatusInternalServerError {
				failed++
			}
		}
		// Five standard deviations: a correct ratio fails this once in a million runs.
		allowed := 5 * math.Sqrt(ratio*(1-ratio)/requests)
		if got := float64(failed) / requests; math.Abs(got-ratio) > allowed {
			t.Errorf("ratio %v: %v of the requests failed", ratio, got)
		}
	}
}

func TestTheDelayIsWaitedAndCanBeTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(Settings{DelayMillis: 300})
		began := time.Now()
		serve(w)
		if took := time.Since(began); took != 300*time.Millisecond {
			t.Errorf("took %s", took)
		}
		w.Set(Settings{})
		began = time.Now()
		serve(w)
		if took := time.Since(began); took != 0 {
			t.Errorf("took %s after the fault was taken back", took)
		}
	})
}

func TestValidate(t *testing.T) {
	for _, bad := range []Settings{{ErrorRatio: -0.1}, {ErrorRatio: 1.1}, {ErrorRatio: math.NaN()}, {DelayMillis: -1}, {DelayMillis: 60_001}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
