package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// request is what the API server's audit log says of a request.
type request struct {
	Verb       string    `json:"verb"`
	RequestURI string    `json:"requestURI"`
	Received   time.Time `json:"requestReceivedTimestamp"`
	UserAgent  string    `json:"userAgent"`
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	Object struct {
		Resource, Subresource, Namespace, Name string
	} `json:"objectRef"`
	Answer struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
}

func (r request) String() string {
	what := r.Verb + " " + r.Object.Resource
	if r.Object.Resource == "" {
		what = r.Verb + " " + r.RequestURI
	}
	if r.Object.Subresource != "" {
		what += "/" + r.Object.Subresource
	}
	return what
}

// free are the requests that an idle operator may make: to renew its lease, and to take up watches
// anew that the API server ends after some minutes.
func (r request) free() bool { return r.Verb == "watch" || r.Object.Resource == "leases" }

// auditLog is the API server's audit log, read from where it ended when it was opened.
type auditLog struct {
	path string
	file *os.File
	rest *bufio.Reader
	line []byte
}

// openAudit opens the log of the local cluster, which lies beside its kubeconfig.
func openAudit(t *testing.T) *auditLog {
	t.Helper()
	l := &auditLog{path: filepath.Join(filepath.Dir(os.Getenv("KUBECONFIG")), "logs", "audit.log")}
	if err := l.open(); err != nil {
		t.Fatalf("the operator's requests are counted in the audit log of the local cluster (make up): %v", err)
	}
	if _, err := l.file.Seek(0, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.file.Close() })
	return l
}

func (l *auditLog) open() (err error) {
	if l.file, err = os.Open(l.path); err != nil {
		return err
	}
	l.rest = bufio.NewReader(l.file)
	return nil
}

// more are the operator's requests that were logged since the last call.
func (l *auditLog) more(t *testing.T) []request {
	t.Helper()
	var requests []request
	for {
		part, err := l.rest.ReadBytes('\n')
		l.line = append(l.line, part...)
		if errors.Is(err, io.EOF) {
			if !l.rotated(t) {
				return requests
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var r request
		if err := json.Unmarshal(l.line, &r); err != nil {
			t.Fatalf("%s: %v", l.path, err)
		}
		l.line = nil
		if r.User.Username == operatorUser && !strings.HasPrefix(r.UserAgent, "curl/") {
			requests = append(requests, r)
		}
	}
}

// rotated goes on with the new file when the API server has begun one.
func (l *auditLog) rotated(t *testing.T) bool {
	t.Helper()
	now, err := os.Stat(l.path)
	if err != nil {
		return false // between the two
	}
	mine, err := l.file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if os.SameFile(now, mine) {
		return false
	}
	_ = l.file.Close()
	l.line = nil
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	return true
}

// tally is how often each verb was used on each resource, for people.
func tally(requests []request) string {
	count := map[string]int{}
	for _, r := range requests {
		count[r.String()]++
	}
	var lines []string
	for what, n := range count {
		lines = append(lines, fmt.Sprintf("%6d  %s", n, what))
	}
	slices.Sort(lines)
	slices.Reverse(lines)
	return strings.Join(lines, "\n")
}

// costly are the requests that an idle operator may not make.
func costly(requests []request) []request {
	return slices.DeleteFunc(slices.Clone(requests), request.free)
}
