package reprise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	reprisev1 "github.com/reprise/reprise/clients/go/reprise/v1"
)

const (
	firstPause   = 250 * time.Millisecond
	longestPause = 5 * time.Second
)

// WatchOption says how a run is watched.
type WatchOption func(*watcher)

// AfterSequence begins with the entry after this sequence.
func AfterSequence(sequence int32) WatchOption {
	return func(w *watcher) {
		w.request.Position = &reprisev1.WatchRunRequest_AfterSequence{AfterSequence: sequence}
	}
}

// Tail begins with the last so many entries.
func Tail(count int32) WatchOption {
	return func(w *watcher) { w.request.Position = &reprisev1.WatchRunRequest_Tail{Tail: count} }
}

// IncludeRaw asks for the agent's raw line in each entry.
func IncludeRaw() WatchOption {
	return func(w *watcher) { w.request.IncludeRaw = true }
}

// IncludePartial asks for text while it is being written, as the deltas of [Client.Messages].
func IncludePartial() WatchOption {
	return func(w *watcher) { w.request.IncludePartial = true }
}

// Silence is how long nothing may come before the connection is given up; the server sends a sign of life every ten
// seconds. The default is 30 s.
func Silence(limit time.Duration) WatchOption {
	return func(w *watcher) { w.silence = limit }
}

// Patience is how long a server that was lost is looked for. The default is five minutes.
func Patience(limit time.Duration) WatchOption {
	return func(w *watcher) { w.patience = limit }
}

// Watch is the journal of a run, entry by entry: what is there already, then live, until the run has ended.
//
// When the connection is cut, the server restarts, or nothing comes for 30 s, it calls again with the last sequence: no
// entry is left out and none comes twice. A server that was never reached is said at once. An error ends it.
func (c *Client) Watch(ctx context.Context, runID string, options ...WatchOption) iter.Seq2[*reprisev1.JournalEntry, error] {
	return func(yield func(*reprisev1.JournalEntry, error) bool) {
		for message, err := range c.Messages(ctx, runID, options...) {
			entry := message.GetEntry()
			if (entry != nil || err != nil) && !yield(entry, err) {
				return
			}
		}
	}
}

// Messages is the same as [Client.Watch], as the server sends it: with snapshots of the run, deltas if asked for, and
// heartbeats.
func (c *Client) Messages(ctx context.Context, runID string, options ...WatchOption) iter.Seq2[*reprisev1.WatchRunResponse, error] {
	return func(yield func(*reprisev1.WatchRunResponse, error) bool) {
		w := watcher{
			client:   c,
			request:  &reprisev1.WatchRunRequest{RunId: runID},
			silence:  30 * time.Second,
			patience: 5 * time.Minute,
		}
		for _, option := range options {
			option(&w)
		}
		defer w.close()
		if err := w.follow(ctx, yield); err != nil {
			yield(nil, err)
		}
	}
}

// Wait waits until a run has ended, and gives it.
func (c *Client) Wait(ctx context.Context, runID string) (*reprisev1.Run, error) {
	for _, err := range c.Watch(ctx, runID, Tail(0)) {
		if err != nil {
			return nil, err
		}
	}
	return c.GetRun(ctx, runID)
}

// Ended reports whether a state is an end: SUCCEEDED, FAILED or CANCELLED.
func Ended(state reprisev1.RunState) bool {
	switch state {
	case reprisev1.RunState_RUN_STATE_SUCCEEDED, reprisev1.RunState_RUN_STATE_FAILED, reprisev1.RunState_RUN_STATE_CANCELLED:
		return true
	default:
		return false
	}
}

var errSilent = errors.New("silent")

// errLeft is how the reader's own end of the loop comes back.
var errLeft = errors.New("left")

// watcher follows one run over as many connections as it takes.
type watcher struct {
	client            *Client
	request           *reprisev1.WatchRunRequest
	silence, patience time.Duration

	// own is a connection of its own, in place of one that fell silent.
	own *grpc.ClientConn
	// run is nil before the first message.
	run       *reprisev1.Run
	sequence  int32
	lostSince time.Time
}

func (w *watcher) close() {
	if w.own != nil {
		_ = w.own.Close()
	}
}

// follow yields until the run has ended, the reader leaves, or nothing more can be done.
func (w *watcher) follow(ctx context.Context, yield func(*reprisev1.WatchRunResponse, error) bool) error {
	pause := firstPause
	for {
		before := w.sequence
		err := w.connection(ctx, yield)
		switch {
		case errors.Is(err, errLeft), err == nil && Ended(w.run.GetState()):
			return nil
		case err == nil:
			err = unavailable("the stream ended before the run")
		case ctx.Err() != nil:
			return err
		}
		if w.lostSince.IsZero() {
			w.lostSince = time.Now()
		}
		if !passes(err) || w.run == nil || time.Since(w.lostSince) > w.patience {
			return err
		}
		if w.sequence != before {
			pause = firstPause
		}
		select {
		case <-time.After(max(pause, min(retryDelay(err), longestPause))):
		case <-ctx.Done():
			return fromStatus(ctx.Err())
		}
		pause = min(pause*2, longestPause)
	}
}

// connection is one connection: until it ends, or the run.
func (w *watcher) connection(ctx context.Context, yield func(*reprisev1.WatchRunResponse, error) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if w.run != nil {
		w.request.Position = &reprisev1.WatchRunRequest_AfterSequence{AfterSequence: w.sequence}
	}
	// Only waiting counts as silence, not what the reader does between two messages.
	silent := time.AfterFunc(w.silence, func() { cancel(errSilent) })
	defer silent.Stop()
	stream, err := w.runs().WatchRun(ctx, w.request)
	for err == nil {
		var message *reprisev1.WatchRunResponse
		silent.Reset(w.silence)
		message, err = stream.Recv()
		silent.Stop()
		if err == nil && !w.take(message, yield) {
			return errLeft
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(context.Cause(ctx), errSilent):
		if renewed := w.renew(); renewed != nil {
			return renewed
		}
		return unavailable(fmt.Sprintf("the server has been silent for %s", w.silence))
	default:
		return err
	}
}

func (w *watcher) take(message *reprisev1.WatchRunResponse, yield func(*reprisev1.WatchRunResponse, error) bool) bool {
	w.lostSince = time.Time{}
	w.sequence = message.GetSequence()
	if run := message.GetRun(); run != nil {
		w.run = run
	}
	return yield(message, nil)
}

func (w *watcher) runs() reprisev1.RunServiceClient {
	if w.own != nil {
		return reprisev1.NewRunServiceClient(w.own)
	}
	return w.client.Runs
}

// renew opens another connection: a call would go over the same one again, which may be dead without knowing it.
func (w *watcher) renew() error {
	w.close()
	var err error
	w.own, err = dial(w.client.options)
	return err
}

// passes reports whether an error is one of the connection.
func passes(err error) bool {
	var failed *Error
	if !errors.As(err, &failed) {
		return false
	}
	switch failed.Code {
	case codes.Unavailable:
		return true
	case codes.Unknown, codes.Internal, codes.Canceled, codes.DeadlineExceeded:
		// What a connection that breaks may end with, too. The server's own errors always say their reason.
		return failed.Reason == ""
	default:
		return false
	}
}

func retryDelay(err error) time.Duration {
	var failed *Error
	if errors.As(err, &failed) {
		return failed.RetryDelay
	}
	return 0
}
