package browsertest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/remote"

	"portway/internal/dockertest"
	"portway/internal/need"
)

// patience bounds what a browser or another process takes to react on a busy machine.
const patience = 90 * time.Second

// chromium is the browser that all tests share; each has a profile of its own in it.
type chromium struct {
	ctx context.Context
	axe string // source of axe-core
	end func()
}

var (
	starting sync.Mutex
	started  *chromium
)

func TestMain(m *testing.M) {
	dockertest.Main(m, func() {
		if started != nil {
			started.end()
		}
		if built != "" {
			_ = os.RemoveAll(built)
		}
	})
}

// browser starts Chromium when the first test needs it.
func browser(t testing.TB) *chromium {
	t.Helper()
	starting.Lock()
	defer starting.Unlock()
	if started != nil {
		return started
	}
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		need.Missing(t, "no Chromium here: run scripts/chromium, or install Debian's package chromium")
	}
	dir, err := os.MkdirTemp("", "portway-chromium")
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:len(chromedp.DefaultExecAllocatorOptions):len(chromedp.DefaultExecAllocatorOptions)],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(dir),
		remote.WebSocket, // its debugging port also serves the DevTools' own files
		chromedp.WSURLReadTimeout(patience),
		chromedp.DisableGPU,
		chromedp.IgnoreCertErrors, // Portway's internal CA
		// Nothing beyond this machine, whatever a page asks for: the request is seen, and fails.
		chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1, MAP *.localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	allocated, wait := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, quit := chromedp.NewContext(allocated)
	end := func() {
		quit()
		wait()
		_ = os.RemoveAll(dir)
	}
	if err := chromedp.Do(ctx); err != nil {
		end()
		t.Fatalf("start %s: %v", path, err)
	}
	axe, err := axeSource(ctx, dir)
	if err != nil {
		end()
		t.Fatalf("axe-core: %v", err)
	}
	started = &chromium{ctx: ctx, axe: axe, end: end}
	return started
}

// axeSource takes axe-core, the rules of accessibility, out of Chromium itself: its
// DevTools bring it for their audits.
func axeSource(ctx context.Context, profile string) (string, error) {
	said, err := os.ReadFile(filepath.Join(profile, "DevToolsActivePort"))
	if err != nil {
		return "", err
	}
	port, _, _ := strings.Cut(string(said), "\n")
	url := "http://127.0.0.1:" + port + "/devtools/third_party/lighthouse/lighthouse-dt-bundle.js"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	bundle, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %w", url, resp.Status, err)
	}
	_, literal, found := strings.Cut(string(bundle), "`/*! axe")
	end := 0
	for ; found && end < len(literal) && literal[end] != '`'; end++ {
		if literal[end] == '\\' {
			end++
		}
	}
	if end == 0 || end >= len(literal) {
		return "", fmt.Errorf("%s has no axe-core in it any more", url)
	}
	// The literal's escapes are JavaScript's, so JavaScript reads them.
	return chromedp.Run(ctx, chromedp.Evaluate[string]("`/*! axe"+literal[:end]+"`"))
}
