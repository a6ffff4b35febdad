// Package dep names what the shop depends on and says, in one way for all, that one of them cannot be had.
package dep

import "fmt"

// The dependencies, as metrics, readiness and error answers name them.
const (
	Database   = "database"
	DatabaseRO = "database-ro"
	Sessions   = "sessions"
	Cache      = "cache"
)

// Unavailable is the error of a feature whose dependency is missing; the web answers it with 503.
type Unavailable struct {
	// Dependency is one of the constants above.
	Dependency string
	// Variable names the environment variable to set when the dependency was never configured.
	Variable string
	// Err is why it failed when it is configured.
	Err error
}

// NotConfigured says that the environment variable is not set.
func NotConfigured(dependency, variable string) error {
	return &Unavailable{Dependency: dependency, Variable: variable}
}

// Failed says that the dependency is there but does not answer.
func Failed(dependency string, err error) error {
	return &Unavailable{Dependency: dependency, Err: err}
}

// Error implements error.
func (u *Unavailable) Error() string {
	if u.Err == nil {
		return fmt.Sprintf("%s is not configured: %s is not set", u.Dependency, u.Variable)
	}
	return fmt.Sprintf("%s is unavailable: %v", u.Dependency, u.Err)
}

// Unwrap gives the cause.
func (u *Unavailable) Unwrap() error { return u.Err }
