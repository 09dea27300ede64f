package exchange

import (
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

type aborts chan error

func (a aborts) Abort(cause error) { a <- cause }

func TestCancelAbortsOnce(t *testing.T) {
	ex := Get()
	defer Put(ex)
	a := make(aborts, 2)
	ex.SetAborter(a)
	first := errors.New("first")
	ex.Cancel(first)
	ex.Cancel(errors.New("second"))
	if got := <-a; !errors.Is(got, first) {
		t.Errorf("aborted with %v, want the first cause", got)
	}
	if len(a) != 0 {
		t.Error("aborted twice")
	}
	if !errors.Is(ex.Canceled(), first) {
		t.Errorf("Canceled() = %v", ex.Canceled())
	}
	ex.SetAborter(a) // too late: aborted at once
	if got := <-a; !errors.Is(got, first) {
		t.Errorf("aborted with %v", got)
	}
	ex.Finish(0, nil)
	if len(a) != 0 {
		t.Error("Finish aborted")
	}
}

func TestNoAbortAfterRelease(t *testing.T) {
	ex := Get()
	defer Put(ex)
	a := make(aborts, 1)
	ex.SetAborter(a)
	ex.SetAborter(nil)
	ex.Cancel(ErrClientGone)
	if len(a) != 0 {
		t.Error("an Aborter was called that had been taken back")
	}
}

// slowAbort shows that SetAborter(nil) waits for an Abort under way: without
// that, the Abort would hit the connection's next user.
type slowAbort struct {
	begun    chan struct{}
	finished bool
}

func (s *slowAbort) Abort(error) {
	close(s.begun)
	time.Sleep(20 * time.Millisecond)
	s.finished = true
}

func TestReleaseWaitsForAbort(t *testing.T) {
	ex := Get()
	a := &slowAbort{begun: make(chan struct{})}
	ex.SetAborter(a)
	go ex.Cancel(ErrClientGone)
	<-a.begun
	ex.SetAborter(nil)
	if !a.finished {
		t.Error("SetAborter(nil) returned in the middle of an Abort")
	}
	if ex.Canceled() == nil {
		t.Error("the owner cannot see that the exchange was cancelled")
	}
}

type closeRecorder struct {
	io.Reader
	closed int
}

func (c *closeRecorder) Close() error { c.closed++; return nil }

type doneRecorder struct {
	order *[]string
	name  string
	sent  int64
	err   error
}

func (d *doneRecorder) Done(_ *Exchange, sent int64, err error) {
	*d.order = append(*d.order, d.name)
	d.sent, d.err = sent, err
}

func TestFinish(t *testing.T) {
	ex := Get()
	defer Put(ex)
	var order []string
	in, out := &closeRecorder{Reader: strings.NewReader("")}, &closeRecorder{Reader: strings.NewReader("")}
	ex.Request.Body, ex.Response.Body = in, out
	one, two := &doneRecorder{order: &order, name: "one"}, &doneRecorder{order: &order, name: "two"}
	ex.OnDone(one)
	ex.OnDone(two)
	ctx := ex.Context()
	ex.Go(func() {
		<-ctx.Done() // Finish must end the context before it waits
		order = append(order, "goroutine")
	})
	failed := errors.New("failed")
	ex.Finish(7, failed)
	if got := strings.Join(order, " "); got != "goroutine two one" {
		t.Errorf("order is %q", got)
	}
	if one.sent != 7 || !errors.Is(one.err, failed) {
		t.Errorf("Done got %d, %v", one.sent, one.err)
	}
	if in.closed == 0 || out.closed == 0 {
		t.Error("a body was left open")
	}
	if ex.Context().Err() == nil || context.Cause(ctx) == nil {
		t.Error("the context goes on")
	}
}

func TestContext(t *testing.T) {
	ex := Get()
	ex.Cancel(ErrClientGone)
	if cause := context.Cause(ex.Context()); !errors.Is(cause, ErrClientGone) {
		t.Errorf("context made after Cancel: cause %v", cause)
	}
	ex.Finish(0, nil)
	Put(ex)

	ex = Get()
	defer Put(ex)
	ctx := ex.Context()
	if ctx.Err() != nil {
		t.Fatal("a fresh exchange's context has ended")
	}
	ex.Cancel(ErrClientGone)
	if !errors.Is(context.Cause(ctx), ErrClientGone) {
		t.Errorf("cause %v", context.Cause(ctx))
	}

	late := Get()
	defer Put(late)
	late.Finish(0, nil)
	if late.Context().Err() == nil {
		t.Error("a context made after Finish never ends")
	}
}

func TestPanicInGoCancels(t *testing.T) {
	ex := Get()
	defer Put(ex)
	ex.Go(func() { panic("oops") })
	ex.Finish(0, nil)
	var p *PanicError
	if !errors.As(ex.Canceled(), &p) || p.Value != "oops" || !strings.Contains(string(p.Stack), "TestPanicInGoCancels") {
		t.Errorf("Canceled() = %v", ex.Canceled())
	}
	if p.Error() != "panic: oops" {
		t.Errorf("Error() = %q", p.Error())
	}
}

func TestRequestID(t *testing.T) {
	ex := Get()
	defer Put(ex)
	id := ex.RequestID()
	if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(id) {
		t.Errorf("ID %q", id)
	}
	if ex.RequestID() != id {
		t.Error("the ID changes")
	}
	ex.reset()
	if ex.RequestID() == id {
		t.Error("a recycled exchange keeps its ID")
	}
}

func TestResetForgetsEverything(t *testing.T) {
	ex := Get()
	ex.Request = Request{Method: []byte("GET"), Length: 3, Upgrade: []byte("x"), HasQuery: true, TETrailers: true}
	ex.Request.Fields.AddString("a", "b")
	ex.Response = Response{Status: 200, Length: 5}
	ex.Response.Trailers.AddString("a", "b")
	ex.RouteName, ex.Conn, ex.Start = "r", &Conn{}, time.Now()
	ex.Memory = make([]byte, 10, maxKept+1)
	ex.Head = make([]byte, 10, 100)
	ex.Cancel(ErrClientGone)
	_ = ex.Context()
	ex.OnDone(&doneRecorder{order: new([]string)})
	ex.Finish(0, nil)
	ex.reset()
	q, p := &ex.Request, &ex.Response
	if q.Method != nil || q.Length != 0 || q.Upgrade != nil || q.HasQuery || q.TETrailers || q.Fields.Len() != 0 {
		t.Errorf("request is left: %+v", q)
	}
	if p.Status != 0 || p.Length != 0 || p.Trailers.Len() != 0 {
		t.Errorf("response is left: %+v", p)
	}
	if ex.RouteName != "" || ex.Conn != nil || !ex.Start.IsZero() || ex.Canceled() != nil || len(ex.done) != 0 {
		t.Error("state is left")
	}
	if ex.Context().Err() != nil {
		t.Error("a recycled exchange has the old context")
	}
	if cap(ex.Memory) > maxKept || len(ex.Head) != 0 || cap(ex.Head) != 100 {
		t.Errorf("memory: %d, head: %d of %d", cap(ex.Memory), len(ex.Head), cap(ex.Head))
	}
}

func TestExchangeDoesNotAllocate(t *testing.T) {
	var order []string
	done := &doneRecorder{order: &order}
	a := make(aborts, 1)
	method := []byte("GET")
	ex := Get()
	defer Put(ex)
	work := func() {
		order = order[:0]
		ex.Request.Method = method
		ex.Request.Fields.AddString("Accept", "*/*")
		ex.Memory = append(ex.Memory, "some bytes"...)
		ex.OnDone(done)
		ex.SetAborter(a)
		ex.SetAborter(nil)
		if ex.Canceled() != nil {
			t.Error("cancelled")
		}
		ex.Finish(0, nil)
		ex.reset()
	}
	work()
	if n := testing.AllocsPerRun(100, work); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestProtocolNames(t *testing.T) {
	for p, want := range map[Protocol]string{HTTP10: "HTTP/1.0", HTTP11: "HTTP/1.1", HTTP2: "HTTP/2.0", HTTP3: "HTTP/3.0", 0: "HTTP/?"} {
		if p.String() != want {
			t.Errorf("%d is %q, want %q", p, p, want)
		}
	}
}

func TestBytesBody(t *testing.T) {
	b := BytesBody([]byte("hello"))
	if n := b.(Buffered).Buffered(); n != 5 {
		t.Errorf("Buffered() = %d", n)
	}
	p := make([]byte, 3)
	if n, err := b.Read(p); n != 3 || err != nil {
		t.Errorf("Read: %d, %v", n, err)
	}
	if n, err := b.Read(p); n != 2 || !errors.Is(err, io.EOF) {
		t.Errorf("Read: %d, %v", n, err)
	}
}
