package certs

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// However often strangers cause it, a message is there once a minute, with a count.
func TestRarely(t *testing.T) {
	t.Parallel()
	var r rarely
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, nil))
	began := time.Now()
	for i := range 180 {
		r.warn(log, began.Add(time.Duration(i)*time.Second), "refused", "name", i)
		if i < 2 {
			r.warn(log, began.Add(time.Duration(i)*time.Second), "another thing")
		}
	}
	told := b.String()
	for _, want := range []string{"msg=refused name=0\n", "msg=refused name=60 left_out_before=59", "msg=refused name=120 left_out_before=59"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Count(told, "\n") != 4 || strings.Count(told, "another thing") != 1 {
		t.Errorf("told:\n%s", told)
	}
}
