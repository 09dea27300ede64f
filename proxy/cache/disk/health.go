package disk

import (
	"log/slog"
	"sync"
	"time"
)

// health knows what is wrong with the disk, and says each thing once.
type health struct {
	logger *slog.Logger

	mu       sync.Mutex
	failing  bool
	until    time.Time // nothing is written before
	given    error     // why nothing will ever be again
	reported time.Time // when damage was last reported
}

// pause is how long nothing is written after that failed.
const pause = time.Minute

// well tells whether it makes sense to write.
func (h *health) well() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.given == nil && (!h.failing || !time.Now().Before(h.until))
}

// wrote notes how a write went.
func (h *health) wrote(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.given != nil:
	case err == nil && h.failing:
		h.failing = false
		h.logger.Info("the cache on disk takes answers again")
	case err != nil:
		h.until = time.Now().Add(pause)
		if !h.failing {
			h.failing = true
			h.logger.Warn("the cache on disk takes nothing new for the time being; answers are kept in memory only", slog.Any("error", err),
				slog.String("fix", "make room on the device of cache-folder, or cache-disk smaller; it is tried again every minute"))
		}
	}
}

// give gives the disk up.
func (h *health) give(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.given == nil {
		h.given = err
		h.logger.Error("the cache on disk is off until the next start, which will find it empty", slog.Any("error", err),
			slog.String("fix", "look at the device of cache-folder"))
	}
}

func (h *health) broken() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.given
}

// damaged notes that something is not what was written.
func (h *health) damaged(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); now.Sub(h.reported) > time.Hour {
		h.reported = now
		h.logger.Warn("an answer in the cache on disk is damaged, and is fetched anew; others of this hour are not reported", slog.Any("error", err),
			slog.String("fix", "look at the device of cache-folder"))
	}
}
