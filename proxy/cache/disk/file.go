package disk

import (
	"errors"
	"hash/crc32"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// File is a large content. While it is written, it can be read as far as it is there.
type File struct {
	store  *Store
	number uint64
	entry  atomic.Pointer[Entry] // nil as long as it belongs to no record

	mu      sync.Mutex
	writing *os.File // nil once it is complete
	size    int64    // that is written
	sums    summer
	checked []uint32 // a bit for each chunk that was what it should be
	changed time.Time
}

// Create begins a large content, which is given to Add or to Discard in the end.
func (s *Store) Create() (*File, error) {
	if !s.health.well() {
		return nil, ErrBusy
	}
	f := &File{store: s, number: s.next.Add(1)}
	var err error
	f.writing, err = os.OpenFile(f.path(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		s.health.wrote(err)
		return nil, err
	}
	return f, nil
}

// stored is the content of a record that was found.
func (s *Store) stored(e *Entry, sums []uint32) *File {
	f := &File{store: s, number: e.body, size: e.size, sums: summer{sums: sums}}
	f.entry.Store(e)
	return f
}

func (f *File) path() string { return f.store.path(fileName(f.number, bodyKind)) }

// Memory is about how much f takes, in bytes.
func (f *File) Memory() int64 { return 200 + 5*int64(chunks(f.Size())) }

// Size is how much of it is there.
func (f *File) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// Append adds to a content that is not complete; only the last piece may be something
// else than whole chunks.
func (f *File) Append(p []byte) error {
	s := f.store
	n := int64(len(p))
	if err := s.reserve(n, f.size); err != nil {
		return err
	}
	if _, err := f.writing.WriteAt(p, f.size); err != nil {
		s.total.Add(-n)
		s.health.wrote(err)
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sums.add(p)
	f.size += n
	return nil
}

// Discard removes a content that is to belong to no record.
func (f *File) Discard() {
	f.Complete()
	f.store.removeBody(f.number, f.Size())
}

// Complete says that nothing will be appended any more.
func (f *File) Complete() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.writing != nil {
		_ = f.writing.Close()
		f.writing = nil
	}
}

// Open gives a Reader of what is there, and of what will be.
func (f *File) Open() (*Reader, error) {
	file, err := os.Open(f.path())
	if err != nil {
		return nil, err
	}
	r := &Reader{file: f, f: file}
	if e := f.entry.Load(); e != nil {
		e.Use()
		if err := f.unchanged(file); err != nil {
			_ = file.Close()
			return nil, f.damaged(err)
		}
	}
	return r, nil
}

// unchanged looks whether somebody else has written to the file since chunks of it were
// checked.
func (f *File) unchanged(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case info.Size() != f.size:
		return io.ErrUnexpectedEOF
	case f.checked == nil || !info.ModTime().Equal(f.changed):
		f.checked, f.changed = make([]uint32, (chunks(f.size)+31)/32), info.ModTime()
	}
	return nil
}

func (f *File) damaged(err error) error {
	if e := f.entry.Load(); e != nil {
		return f.store.damaged(e, err)
	}
	return err
}

// sum is the checksum of a chunk; ok is false if that is not there as a whole.
func (f *File) sum(i int) (sum uint32, length int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := int64(i) * ChunkSize
	if from >= f.size || f.writing != nil && from+ChunkSize > f.size {
		return 0, 0, false
	}
	return f.sums.sums[i], int(min(ChunkSize, f.size-from)), true
}

// Reader reads a File; it is used by one goroutine at a time.
type Reader struct {
	file *File
	f    *os.File
}

var errAhead = errors.New("not written yet")

// Chunk reads the chunk with that number into buf, which has room for ChunkSize, and
// gives it once it is known to be what was written.
func (r *Reader) Chunk(i int, buf []byte) ([]byte, error) {
	sum, n, ok := r.file.sum(i)
	if !ok {
		return nil, errAhead
	}
	if err := r.file.store.place(true); err != nil {
		return nil, err
	}
	_, err := r.f.ReadAt(buf[:n], int64(i)*ChunkSize)
	r.file.store.leave()
	if err == nil && crc32.Checksum(buf[:n], castagnoli) != sum {
		err = errSum
	}
	if err != nil {
		return nil, r.file.damaged(err)
	}
	r.file.mu.Lock()
	defer r.file.mu.Unlock()
	if r.file.checked != nil {
		r.file.checked[i/32] |= 1 << (i % 32)
	}
	return buf[:n], nil
}

// isChecked tells whether a chunk has been what it should be.
func (r *Reader) isChecked(i int) bool {
	r.file.mu.Lock()
	defer r.file.mu.Unlock()
	return r.file.checked != nil && r.file.checked[i/32]&(1<<(i%32)) != 0
}

// maxSplices bounds how many threads hang in sendfile with a device that does.
const maxSplices = 256

// Splice has the kernel send n bytes from place at on to dst, without copying them to
// us. What was not checked yet is, with the help of buf. ok is false, and nothing has
// happened, if that cannot be done.
func (r *Reader) Splice(dst *net.TCPConn, at, n int64, buf []byte) (sent int64, ok bool, err error) {
	for i := int(at / ChunkSize); int64(i)*ChunkSize < at+n; i++ {
		if r.isChecked(i) {
			continue
		}
		if _, err := r.Chunk(i, buf); err != nil {
			return 0, true, err
		}
		if !r.isChecked(i) {
			return 0, false, nil
		}
	}
	if s := r.file.store; s.splicing.Add(1) <= maxSplices {
		defer s.splicing.Add(-1)
	} else {
		s.splicing.Add(-1)
		return 0, false, nil
	}
	if _, err := r.f.Seek(at, io.SeekStart); err != nil {
		return 0, true, err
	}
	sent, err = dst.ReadFrom(&io.LimitedReader{R: r.f, N: n})
	if err == nil && sent < n {
		err = r.file.damaged(io.ErrUnexpectedEOF)
	}
	return sent, true, err
}

// Close ends the reader.
func (r *Reader) Close() { _ = r.f.Close() }
