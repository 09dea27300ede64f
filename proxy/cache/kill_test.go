package cache_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"portway/proxy/cache"
	"portway/proxy/exchange"
)

// victimFolder names, in the environment, the folder of a victim.
const victimFolder = "PORTWAY_TEST_CACHE_VICTIM"

func TestMain(m *testing.M) {
	if folder := os.Getenv(victimFolder); folder != "" {
		if err := victim(folder); err != nil {
			fmt.Println("bad:", err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A process that is killed while it fills its cache leaves nothing that the next one
// would answer wrongly: no half contents, none of another address, and none that was
// invalidated or purged.
func TestKilled(t *testing.T) {
	t.Parallel()
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	folder := filepath.Join(t.TempDir(), "cache")
	floors := filepath.Join(t.TempDir(), "floors")
	r := rand.New(rand.NewPCG(1, 2))
	hits, dropped := 0, map[string]string{}
	for round := range rounds {
		var list strings.Builder
		for path, floor := range dropped {
			fmt.Fprintln(&list, path, floor)
		}
		if err := os.WriteFile(floors, []byte(list.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), victimFolder+"="+folder, "FLOORS="+floors)
		c.Stderr = os.Stderr
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		left := -1
		for lines := bufio.NewScanner(out); left != 0 && lines.Scan(); left-- {
			word := strings.Fields(lines.Text())
			switch word[0] {
			case "there":
				n, _ := strconv.Atoi(word[1])
				hits += n
				left = 1 + r.IntN(60)
			case "dropped":
				dropped[word[1]] = word[2]
			case "bad:":
				t.Errorf("round %d: %s", round, lines.Text())
			}
		}
		_ = c.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		if err := c.Wait(); err == nil || left != 0 {
			t.Fatalf("round %d: it ended by itself: %v", round, err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("FIGURE: kill -9 during fills: %d rounds, %d answers from disk after them, none wrong (required: 100 rounds)", rounds, hits)
	if hits < 5*rounds {
		t.Errorf("only %d answers were there: nothing was tested", hits)
	}
}

// victimPaths is how many addresses there are.
const victimPaths = 60

// victim looks whether all is right that is in the folder, says so, and works until it
// is killed.
func victim(folder string) error {
	floors, err := readFloors(os.Getenv("FLOORS"))
	if err != nil {
		return err
	}
	c, err := cache.New(cache.Config{Memory: 4 << 20, Disk: 8 << 20, Folder: folder})
	if err != nil {
		return err
	}
	h, err := wrapped(c, exchange.HandlerFunc(victimOrigin))
	if err != nil {
		return err
	}
	there := 0
	for i := range victimPaths {
		path := "/" + strconv.Itoa(i)
		g := ask(h, "GET", path, "Cache-Control: only-if-cached")
		if g.status == 504 {
			continue
		}
		there++
		version, err := checkDescribed(path, g)
		if err != nil {
			return err
		}
		if version < floors[path] {
			return fmt.Errorf("%s is back: version %d, dropped at %d", path, version, floors[path])
		}
	}
	fmt.Println("there", there)
	wrong := make(chan error, 10)
	for seed := range uint64(3) {
		go func() {
			r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), seed))
			for {
				path := "/" + strconv.Itoa(r.IntN(victimPaths))
				switch r.IntN(10) {
				case 0: // what was fetched before is not there any more after that
					now := time.Now().UnixNano()
					ask(h, "POST", path)
					fmt.Println("dropped", path, now)
				case 1:
					now := time.Now().UnixNano()
					if _, err := c.Purge(cache.Purge{Tag: path}); err != nil {
						wrong <- err
					}
					fmt.Println("dropped", path, now)
				default:
					g := ask(h, "GET", path)
					if _, err := checkDescribed(path, g); g.err == nil && err != nil {
						wrong <- err
					}
					fmt.Println("got", path)
				}
			}
		}()
	}
	return <-wrong
}

func readFloors(name string) (map[string]int64, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	floors := map[string]int64{}
	for line := range strings.Lines(string(b)) {
		var path string
		var floor int64
		if _, err := fmt.Sscan(line, &path, &floor); err != nil {
			return nil, err
		}
		floors[path] = floor
	}
	return floors, nil
}

// victimOrigin answers with contents that tell what they are, small and large ones, of
// known length and not, some of which break off.
func victimOrigin(ex *exchange.Exchange) {
	p, path := &ex.Response, string(ex.Request.Path)
	if p.Status = 200; string(ex.Request.Method) != "GET" {
		return
	}
	version := time.Now().UnixNano()
	r := rand.New(rand.NewPCG(uint64(version), 1))
	size := r.IntN(20_000)
	if r.IntN(4) == 0 {
		size = r.IntN(700_000)
	}
	p.Fields.AddString("Cache-Control", "max-age=1000")
	p.Fields.AddString("Cache-Tag", path)
	b := described(path, version, size)
	body := &pieces{rest: b, end: io.EOF}
	if p.Length = exchange.LengthUnknown; r.IntN(2) == 0 {
		p.Length = int64(len(b))
	}
	if r.IntN(6) == 0 {
		body.rest, body.end = b[:len(b)/2], errors.New("the origin died")
	}
	p.Body = body
}

// described is a content of which each line says what it belongs to.
func described(path string, version int64, size int) []byte {
	line := fmt.Sprintf("%s version %d size %d\n", path, version, size)
	b := bytes.Repeat([]byte(line), size/len(line)+1)
	return append(b, "end\n"...)
}

// checkDescribed tells the version of an answer, if it is right.
func checkDescribed(path string, g got) (version int64, err error) {
	var of string
	var size int
	if _, err := fmt.Sscanf(string(g.content[:min(len(g.content), 100)]), "%s version %d size %d", &of, &version, &size); err != nil {
		return 0, fmt.Errorf("%s: status %d, %.100q: %w", path, g.status, g.content, err)
	}
	if g.err != nil || of != path || !bytes.Equal(g.content, described(path, version, size)) {
		return 0, fmt.Errorf("%s: status %d, %d bytes of %.100q, %w", path, g.status, len(g.content), g.content, g.err)
	}
	return version, nil
}

// pieces is a body that comes bit by bit.
type pieces struct {
	rest []byte
	end  error
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, p.end
	}
	n := copy(b, p.rest[:min(len(p.rest), 10_000)])
	p.rest = p.rest[n:]
	return n, nil
}

func (p *pieces) Close() error { return nil }
