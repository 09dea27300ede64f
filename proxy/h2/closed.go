package h2

// ending is how a stream came to its end, which decides what becomes of frames
// that still arrive for it (RFC 9113 section 5.1).
type ending uint8

const (
	endUnknown ending = iota
	endNormal         // END_STREAM in both directions
	endTheirs         // the client reset it
	endOurs           // we reset it: frames may have been on their way
)

// closedStreams remembers how the last streams ended. Our own resets are kept
// apart, so that busy traffic does not push them out.
type closedStreams struct {
	recent [16]closedStream
	ours   [64]uint32
	r, o   int
}

type closedStream struct {
	id  uint32
	how ending
}

func (l *closedStreams) add(id uint32, how ending) {
	if how == endOurs {
		l.ours[l.o] = id
		l.o = (l.o + 1) % len(l.ours)
		return
	}
	l.recent[l.r] = closedStream{id, how}
	l.r = (l.r + 1) % len(l.recent)
}

func (l *closedStreams) find(id uint32) ending {
	for _, e := range l.recent {
		if e.id == id {
			return e.how
		}
	}
	for _, o := range l.ours {
		if o == id {
			return endOurs
		}
	}
	return endUnknown
}
