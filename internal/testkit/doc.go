// Package testkit is what tests share: builders, fakes, and the start-up of a real API server.
package testkit
