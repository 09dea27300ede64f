package middleware

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"portway/label"
	"portway/proxy/exchange"
)

// pageKinds are the types of pages by how their files' names end; those before are
// liked better.
var pageKinds = [...]struct{ ending, kind, contentType string }{
	{".html", "text/html", "text/html; charset=utf-8"}, {".json", "application/json", "application/json"}, {".txt", "text/plain", plainText},
}

// pageName fits names of files that are pages for a status or a class of them.
var pageName = regexp.MustCompile(`^[45](?:[0-9][0-9]|xx)\.(?:html|json|txt)$`)

// pageFolder is a directory with pages. Changes there are seen within a second.
type pageFolder struct {
	path string

	mu      sync.Mutex
	checked time.Time
	files   map[string]pageFile
	err     error // why not all of them are there
}

// pageFile is a page, and when it was written.
type pageFile struct {
	modified time.Time
	size     int64
	content  []byte
}

var _ pages = (*pageFolder)(nil)

// checkPages makes sure that there are pages in a directory that is named by a label.
func checkPages(path string) error {
	d := &pageFolder{path: path}
	if err := d.load(); err != nil {
		return &label.Error{Why: "no pages can be read: " + err.Error(), Fix: "mount the directory into Portway's container, readable for its user"}
	}
	if len(d.files) == 0 {
		return &label.Error{Why: label.Quote(path) + " has no pages", Fix: "name them by status or class and type: 404.html, 5xx.html, 503.json, 4xx.txt"}
	}
	return nil
}

// find chooses by what the client likes, then by what is said most exactly.
func (d *pageFolder) find(ex *exchange.Exchange, status int) (*page, error) {
	d.mu.Lock()
	if now := time.Now(); now.Sub(d.checked) > time.Second {
		d.checked, d.err = now, d.load()
	}
	files, err := d.files, d.err
	d.mu.Unlock()

	number := strconv.Itoa(status)
	accept := ex.Request.Fields.Get("accept")
	var best *page
	most := 0
	for _, k := range pageKinds {
		f, ok := files[number+k.ending]
		if !ok {
			f, ok = files[number[:1]+"xx"+k.ending]
		}
		if q := acceptance(accept, k.kind); ok && q > most {
			best, most = &page{kind: k.contentType, content: f.content}, q
		}
	}
	if best == nil {
		return nil, err
	}
	best.content = fill(best.content, ex, status)
	return best, nil
}

// load reads what is new or has changed. Pages that cannot be read are left out.
func (d *pageFolder) load() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	files := make(map[string]pageFile, len(entries))
	var wrong []error
	for _, e := range entries {
		if !pageName.MatchString(e.Name()) {
			continue
		}
		f, err := d.read(e.Name())
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		files[e.Name()] = f
	}
	d.files = files
	return errors.Join(wrong...)
}

func (d *pageFolder) read(name string) (pageFile, error) {
	path := filepath.Join(d.path, name)
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return pageFile{}, err
	case !info.Mode().IsRegular():
		return pageFile{}, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is not a regular file")}
	case info.Size() > maxPage:
		return pageFile{}, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is larger than 1 MiB")}
	}
	if old, ok := d.files[name]; ok && old.modified.Equal(info.ModTime()) && old.size == info.Size() {
		return old, nil
	}
	content, err := os.ReadFile(path)
	return pageFile{info.ModTime(), info.Size(), content}, err
}

// pageService has pages at an address.
type pageService struct {
	*service
	address string
}

var _ pages = (*pageService)(nil)

// find asks the service, which learns what the client would like to read, but nothing
// that may be secret between client, proxy and application.
func (s *pageService) find(ex *exchange.Exchange, status int) (*page, error) {
	fields := describe(ex)
	for name := range fields {
		if !strings.HasPrefix(name, "X-Forwarded-") && !strings.HasPrefix(name, "X-Original-") &&
			!slices.Contains([]string{"Accept", "Accept-Language", "User-Agent", "X-Request-Id"}, name) {
			delete(fields, name)
		}
	}
	fields.Set("X-Code", strconv.Itoa(status))
	resp, err := s.get(ex, strings.ReplaceAll(s.address, statusWord, strconv.Itoa(status)), fields)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != status && resp.StatusCode >= 300 {
		leave(resp.Body)
		return nil, fmt.Errorf("%s answers %s", resp.Request.URL.Host, resp.Status)
	}
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", resp.Request.URL.Host, err)
	case len(content) > maxPage:
		return nil, fmt.Errorf("the page of %s is larger than 1 MiB", resp.Request.URL.Host)
	case resp.Header.Get("Content-Encoding") != "":
		return nil, fmt.Errorf("the page of %s is encoded, which nobody has asked for", resp.Request.URL.Host)
	}
	g := &page{kind: resp.Header.Get("Content-Type"), language: resp.Header.Get("Content-Language"), content: content}
	if g.kind == "" {
		g.kind = http.DetectContentType(content)
	}
	return g, nil
}

// acceptance tells how much a client likes a media type, in thousandths, by its field
// Accept (RFC 9110 section 12.5.1), nil if it has none. The most exact range counts.
func acceptance(accept []byte, kind string) int {
	if len(bytes.TrimSpace(accept)) == 0 {
		return 1000
	}
	main, _, _ := strings.Cut(kind, "/")
	quality, exact := 0, 0
	for len(accept) > 0 {
		var item []byte
		item, accept, _ = bytes.Cut(accept, []byte(","))
		rangeName, params, _ := bytes.Cut(item, []byte(";"))
		rangeName = trim(rangeName)
		how := 0
		switch {
		case exchange.EqualFold(rangeName, kind):
			how = 3
		case exchange.EqualFold(rangeName, main+"/*"):
			how = 2
		case string(rangeName) == "*/*":
			how = 1
		}
		if how > exact {
			exact, quality = how, weight(params)
		}
	}
	return quality
}

// weight is q among the parameters of a media range; 1000 if there is none.
func weight(params []byte) int {
	for len(params) > 0 {
		var one []byte
		one, params, _ = bytes.Cut(params, []byte(";"))
		if one = trim(one); len(one) > 2 && one[0]|0x20 == 'q' && one[1] == '=' {
			return readQuality(one[2:])
		}
	}
	return 1000
}
