package certs

import (
	"context"
	"sync"
	"time"
)

// try is one attempt at a certificate.
type try struct {
	name string

	mu       sync.Mutex
	replaced map[string][]byte // what was in the storage before
	heard
}

func newTry(name string) *try {
	return &try{name: name, replaced: make(map[string][]byte), heard: heard{begun: make(map[string]int)}}
}

// tryKey is the context key of a *try.
type tryKey struct{}

// withTry returns a context that tells the storage of t.
func withTry(ctx context.Context, t *try) context.Context {
	return context.WithValue(ctx, tryKey{}, t)
}

// tryOf returns what withTry was given, or nil.
func tryOf(ctx context.Context) *try {
	t, _ := ctx.Value(tryKey{}).(*try)
	return t
}

// heard is what is learnt during a try, and not in the error it ends with.
type heard struct {
	challenges []string       // what the CA said about challenges that failed
	retryAfter time.Duration  // what the CA asked for; 0: nothing
	storageErr error          // the last write that failed
	begun      map[string]int // challenges that were begun, by the CA's directory
	challenge  string         // the last one of them; empty: the CA remembered an earlier proof
	dns        string         // why the DNS provider could not, before another way was tried
	newAccount bool           // the CA had forgotten the account, and there is a new one
}

func (t *try) hasNewAccount() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.newAccount
}

// proof is the challenge that the CA was content with.
func (t *try) proof() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.challenge
}
