package dashboard

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"portway/internal/atomicfile"
)

// account is who may sign in: there is one. It is used from any goroutine.
type account struct {
	path string
	cost int // of the hash
	now  func() time.Time

	mu     sync.RWMutex
	stored stored
}

// stored is the account's file.
type stored struct {
	Password string           `json:"password"` // its bcrypt hash
	Key      []byte           `json:"key"`      // signs sessions; a new one ends them all
	Ended    map[string]int64 `json:"ended"`    // sessions that were signed out, and when they would have ended
}

// sessionTime is how long a session lasts.
const sessionTime = 7 * 24 * time.Hour

// openAccount reads the account in folder. If there is none it makes one, and gives its
// password.
func openAccount(folder string, cost int) (a *account, first string, err error) {
	a = &account{path: filepath.Join(folder, "account.json"), cost: cost, now: time.Now}
	text, err := os.ReadFile(a.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, "", err
		}
		first, err = a.newPassword()
		return a, first, err
	case err != nil:
		return nil, "", err
	}
	if err := json.Unmarshal(text, &a.stored); err != nil || len(a.stored.Key) < 32 {
		return nil, "", fmt.Errorf("%s cannot be read as an account of the dashboard: remove it, and a new password is made at the next start", a.path)
	}
	return a, "", nil
}

// newPassword replaces the password, and ends all sessions.
func (a *account) newPassword() (string, error) {
	password := strings.ToLower(rand.Text()) // 128 bits or more
	hash, err := bcrypt.GenerateFromPassword([]byte(password), a.cost)
	if err != nil {
		return "", err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	a.mu.Lock()
	defer a.mu.Unlock()
	return password, a.store(stored{Password: string(hash), Key: key})
}

// store takes s once it is on the disk. a.mu is held.
func (a *account) store(s stored) error {
	text, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(a.path, text, 0o600); err != nil {
		return err
	}
	a.stored = s
	return nil
}

// check tells whether password is the right one. It takes as long for a wrong one.
func (a *account) check(password string) bool {
	a.mu.RLock()
	hash := a.stored.Password
	a.mu.RUnlock()
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
}

// A session is what the browser has as a cookie: when it ends, a number of its own, and
// the HMAC of both, in base64.
const (
	sessionID  = 16
	sessionLen = 8 + sessionID + sha256.Size
)

// begin makes a session.
func (a *account) begin() string {
	raw := make([]byte, 8+sessionID, sessionLen)
	binary.BigEndian.PutUint64(raw, uint64(a.now().Add(sessionTime).Unix()))
	_, _ = rand.Read(raw[8:]) // never fails
	return base64.RawURLEncoding.EncodeToString(append(raw, a.sign(raw)...))
}

func (a *account) sign(raw []byte) []byte {
	a.mu.RLock()
	h := hmac.New(sha256.New, a.stored.Key)
	a.mu.RUnlock()
	h.Write(raw)
	return h.Sum(nil)
}

// parse gives the number of a session that holds, and when it ends.
func (a *account) parse(token string) (id string, until int64, ok bool) {
	if len(token) != base64.RawURLEncoding.EncodedLen(sessionLen) {
		return "", 0, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || !hmac.Equal(raw[8+sessionID:], a.sign(raw[:8+sessionID])) {
		return "", 0, false
	}
	until = int64(binary.BigEndian.Uint64(raw))
	return base64.RawURLEncoding.EncodeToString(raw[8 : 8+sessionID]), until, a.now().Unix() < until
}

// valid tells whether token is a session that has not ended.
func (a *account) valid(token string) bool {
	id, _, ok := a.parse(token)
	if !ok {
		return false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	_, ended := a.stored.Ended[id]
	return !ended
}

// end ends a session, for good: a copy of its cookie is of no use either.
func (a *account) end(token string) error {
	id, until, ok := a.parse(token)
	if !ok {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	next := stored{a.stored.Password, a.stored.Key, map[string]int64{id: until}}
	for other, until := range a.stored.Ended {
		if a.now().Unix() < until {
			next.Ended[other] = until
		}
	}
	return a.store(next)
}
