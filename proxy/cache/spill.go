package cache

import (
	"io"
	"net"
	"sync"

	"portway/proxy/cache/disk"
)

// spill has a content that is on its way go to a file from now on, with what is there
// of it. Nothing happens if that cannot be done: it stays in memory.
func (c *content) spill(file *disk.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range c.readers {
		var err error
		if r.file, err = file.Open(); err != nil {
			for _, r := range c.readers[:i] {
				r.file.Close()
				r.file = nil
			}
			file.Discard()
			return
		}
	}
	c.file = file
}

// flush writes what has come since the last time. Of what is written, the last piece
// stays in memory, for those who read as fast as it comes.
func (c *content) flush() error {
	if c.passing {
		return nil
	}
	for i := range c.pieces { // only pump adds to them, or lets them go
		p := &c.pieces[i]
		if p.from < c.onDisk || len(p.data) == 0 {
			continue
		}
		if err := c.file.Append(p.data); err != nil {
			return err
		}
		c.onDisk += int64(len(p.data))
	}
	if n := len(c.pieces); n > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.kept = c.pieces[n-1].from
		c.release(c.kept)
	}
	return nil
}

// chunkBuffers are what is read from files into.
var chunkBuffers = sync.Pool{New: func() any { return new([disk.ChunkSize]byte) }}

// open gets r a file of its own, if the content is in one.
func (r *reader) open() error {
	if r.content.file == nil || r.file != nil {
		return nil
	}
	f, err := r.content.file.Open()
	if err == nil {
		r.file = f
	}
	return err
}

// begin makes sure that what is in a file can be read, before a head is sent.
func (r *reader) begin() bool {
	c := r.content
	if !c.complete.Load() || c.file == nil {
		return true
	}
	return r.open() == nil && (r.at >= c.size || r.readChunk() == nil)
}

// closeFile ends what open began.
func (r *reader) closeFile() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
	r.dropChunk()
}

func (r *reader) dropChunk() {
	if r.buffer != nil {
		chunkBuffers.Put(r.buffer)
		r.buffer, r.chunk = nil, nil
	}
}

// readStored is Read of a content that is complete.
func (r *reader) readStored(p []byte) (int, error) {
	n, err := r.readFile(p, r.content.size)
	r.at += int64(n)
	if err == nil && (r.at == r.content.size || r.at == r.to) {
		r.trailers()
		return n, io.EOF
	}
	return n, err
}

// readFile is Read from the file, which has all before end.
func (r *reader) readFile(p []byte, end int64) (int, error) {
	if r.to != unknown {
		end = min(end, r.to)
	}
	if r.at >= end {
		return 0, nil
	}
	from := r.at % disk.ChunkSize
	if r.chunk == nil || r.at < r.chunkAt || r.at >= r.chunkAt+int64(len(r.chunk)) {
		r.dropChunk()
		if from == 0 && len(p) >= disk.ChunkSize && end-r.at >= disk.ChunkSize {
			b, err := r.file.Chunk(int(r.at/disk.ChunkSize), p)
			return len(b), err
		}
		if err := r.readChunk(); err != nil {
			return 0, err
		}
	}
	b := r.chunk[r.at-r.chunkAt:]
	n := copy(p, b[:min(int64(len(b)), end-r.at)])
	if n == len(b) {
		r.dropChunk()
	}
	return n, nil
}

// readChunk reads the chunk that r is in.
func (r *reader) readChunk() error {
	r.dropChunk()
	r.buffer = chunkBuffers.Get().(*[disk.ChunkSize]byte)
	i := r.at / disk.ChunkSize
	b, err := r.file.Chunk(int(i), r.buffer[:])
	if err != nil {
		r.dropChunk()
		return err
	}
	r.chunk, r.chunkAt = b, i*disk.ChunkSize
	return nil
}

// Splice has the kernel send what is in a file.
func (r *reader) Splice(dst *net.TCPConn, limit int64) (int64, bool, error) {
	c := r.content
	if !c.complete.Load() || r.file == nil || r.closed.Load() {
		return 0, false, nil
	}
	end := c.size
	if r.to != unknown {
		end = r.to
	}
	r.dropChunk()
	buffer := chunkBuffers.Get().(*[disk.ChunkSize]byte)
	n, ok, err := r.file.Splice(dst, r.at, min(limit, end-r.at), buffer[:])
	chunkBuffers.Put(buffer)
	r.at += n
	if err == nil && r.at == end && ok {
		r.trailers()
		return n, true, io.EOF
	}
	return n, ok, err
}
