// The Go client against the real server; run by tests/clients/run.sh.
package clients

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/reprise/reprise/clients/go/reprise"
	reprisev1 "github.com/reprise/reprise/clients/go/reprise/v1"
)

const missing = "run_00000000000000000000000000"

func control(t *testing.T, word string) string {
	t.Helper()
	connection, err := net.Dial("tcp", os.Getenv("TEST_CONTROL"))
	must(t, err)
	defer connection.Close()
	fmt.Fprintln(connection, word)
	answer, err := bufio.NewReader(connection).ReadString('\n')
	must(t, err)
	return strings.TrimSpace(answer)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T, options ...reprise.Option) *reprise.Client {
	t.Helper()
	api, err := reprise.Connect(options...)
	must(t, err)
	t.Cleanup(func() { _ = api.Close() })
	return api
}

func far(t *testing.T) *reprise.Client {
	return connect(t, reprise.WithAddress(os.Getenv("TEST_PROXY_ADDR")))
}

// trigger makes a new trigger, and gives its slug and secret.
func trigger(t *testing.T, api *reprise.Client, source reprisev1.Source, edits ...func(*reprisev1.CreateTriggerRequest)) (string, string) {
	t.Helper()
	slug := "go-" + strings.ToLower(rand.Text()[:8])
	made, err := api.CreateTrigger(t.Context(), slug, source, "Do {{ event.text }}", edits...)
	must(t, err)
	return slug, made.GetSecret()
}

func fired(t *testing.T, api *reprise.Client, prompt string) string {
	t.Helper()
	slug, _ := trigger(t, api, reprisev1.Source_SOURCE_MANUAL)
	answer, err := api.Fire(t.Context(), reprise.Fire{Trigger: slug, Payload: map[string]string{"text": "hello"}, Prompt: prompt})
	must(t, err)
	return answer.GetRun().GetId()
}

// followed is everything that a watch gives, with something done at each entry.
func followed(t *testing.T, api *reprise.Client, run string, at func(*reprisev1.JournalEntry), options ...reprise.WatchOption) []*reprisev1.JournalEntry {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var entries []*reprisev1.JournalEntry
	for entry, err := range api.Watch(ctx, run, options...) {
		must(t, err)
		entries = append(entries, entry)
		at(entry)
	}
	return entries
}

func nothing(*reprisev1.JournalEntry) {}

// sameAsDirect holds what came over lost connections against the whole journal: each entry once, in order.
func sameAsDirect(t *testing.T, entries []*reprisev1.JournalEntry, run string) {
	t.Helper()
	direct := followed(t, connect(t), run, nothing)
	if len(entries) != len(direct) {
		t.Fatalf("%d entries in place of %d", len(entries), len(direct))
	}
	for n, entry := range entries {
		if entry.GetSequence() != int32(n+1) || !proto.Equal(entry, direct[n]) {
			t.Fatalf("entry %d is %v in place of %v", n+1, entry, direct[n])
		}
	}
	if entries[len(entries)-1].GetOutcome() == nil {
		t.Fatal("the last entry is no outcome")
	}
}

func TestUnary(t *testing.T) {
	api := connect(t)
	slug, secret := trigger(t, api, reprisev1.Source_SOURCE_GITHUB, func(request *reprisev1.CreateTriggerRequest) {
		request.Trigger.ResumeSessions = proto.Bool(true)
	})
	read, err := api.GetTrigger(t.Context(), slug)
	must(t, err)
	if !read.GetResumeSessions() || read.GetSource() != reprisev1.Source_SOURCE_GITHUB || !strings.Contains(read.GetWebhookUrl(), slug) {
		t.Error(read)
	}
	if len(secret) < 32 || !strings.HasSuffix(secret, read.GetSecrets()[0].GetHint()) {
		t.Error("no secret was made")
	}
	who, err := api.Access.WhoAmI(t.Context(), &reprisev1.WhoAmIRequest{})
	must(t, err)
	if who.GetRole() != reprisev1.Role_ROLE_ADMIN {
		t.Error(who)
	}
}

func TestListsAreReadPageByPage(t *testing.T) {
	api := connect(t)
	slug, _ := trigger(t, api, reprisev1.Source_SOURCE_MANUAL)
	var made, listed []string
	for range 5 {
		answer, err := api.Fire(t.Context(), reprise.Fire{Trigger: slug, Payload: `{"z":9007199254740993}`, Prompt: "[[say: x]]"})
		must(t, err)
		made = append([]string{answer.GetRun().GetId()}, made...)
	}
	for run, err := range api.ListRuns(t.Context(), &reprisev1.ListRunsRequest{TriggerId: slug, PageSize: 2}) {
		must(t, err)
		listed = append(listed, run.GetId())
	}
	if !slices.Equal(made, listed) {
		t.Errorf("%v in place of %v", listed, made)
	}
	for delivery, err := range api.ListDeliveries(t.Context(), &reprisev1.ListDeliveriesRequest{TriggerId: slug, PageSize: 2}) {
		must(t, err)
		full, err := api.Triggers.GetDelivery(t.Context(), &reprisev1.GetDeliveryRequest{DeliveryId: delivery.GetId(), View: reprisev1.DeliveryView_DELIVERY_VIEW_FULL})
		must(t, err)
		if body := string(full.GetDelivery().GetBody()); body != `{"z":9007199254740993}` {
			t.Error(body)
		}
	}
}

func TestARunIsFollowedToItsOutcome(t *testing.T) {
	api := connect(t)
	id := fired(t, api, "[[toolcall]] [[say: All is well.]]")
	entries := followed(t, api, id, nothing)
	sameAsDirect(t, entries, id)
	if text := entries[len(entries)-1].GetOutcome().GetResultText(); text != "All is well." {
		t.Error(text)
	}
	run, err := api.Wait(t.Context(), id)
	must(t, err)
	if run.GetState() != reprisev1.RunState_RUN_STATE_SUCCEEDED || run.GetUsage().GetCostUsd() <= 0 || len(run.GetAttempts()) != 1 {
		t.Error(run)
	}
	last := run.GetLastSequence()
	var sequences []int32
	followed(t, api, id, func(entry *reprisev1.JournalEntry) { sequences = append(sequences, entry.GetSequence()) }, reprise.Tail(2))
	followed(t, api, id, func(entry *reprisev1.JournalEntry) { sequences = append(sequences, entry.GetSequence()) }, reprise.AfterSequence(last-1))
	if !slices.Equal(sequences, []int32{last - 1, last, last}) {
		t.Error(sequences)
	}
}

func TestWatchingAndWaitingCanBeLeft(t *testing.T) {
	api := connect(t)
	id := fired(t, api, "[[toolcall]] [[sleep: 60]]")
	for _, err := range api.Watch(t.Context(), id) {
		must(t, err)
		break
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := api.Wait(ctx, id); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v in place of a deadline", err)
	}
	entries := followed(t, api, id, func(entry *reprisev1.JournalEntry) {
		if entry.GetToolCall() != nil {
			_, err := api.CancelRun(t.Context(), id, "no longer wanted")
			must(t, err)
		}
	})
	if state := entries[len(entries)-1].GetOutcome().GetState(); state != reprisev1.RunState_RUN_STATE_CANCELLED {
		t.Error(state)
	}
}

func TestAConnectionThatIsCutWhileTheRunIsLive(t *testing.T) {
	id := fired(t, connect(t), "[[toolcall]] [[sleep: 2]] [[lines: 5]] [[say: done]]")
	cuts := 0
	entries := followed(t, far(t), id, func(entry *reprisev1.JournalEntry) {
		if entry.GetToolCall() != nil {
			cuts = number(t, control(t, "cut"))
		}
	})
	if cuts < 1 {
		t.Error("no connection was open")
	}
	sameAsDirect(t, entries, id)
}

func TestAConnectionThatIsCutAgainAndAgainInThePast(t *testing.T) {
	api := connect(t)
	id := fired(t, api, "[[lines: 4000]]")
	_, err := api.Wait(t.Context(), id)
	must(t, err)
	cuts := 0
	entries := followed(t, far(t), id, func(entry *reprisev1.JournalEntry) {
		if entry.GetSequence()%400 == 0 {
			// What has arrived already is still read, so the next cut may find nothing open yet.
			cuts += number(t, control(t, "cut"))
		}
	})
	if cuts < 3 || len(entries) <= 4000 {
		t.Errorf("%d cuts, %d entries", cuts, len(entries))
	}
	sameAsDirect(t, entries, id)
}

func TestAConnectionThatFallsSilent(t *testing.T) {
	id := fired(t, connect(t), "[[toolcall]] [[sleep: 2]] [[say: done]]")
	begun, stalled := time.Now(), 0
	entries := followed(t, far(t), id, func(entry *reprisev1.JournalEntry) {
		if entry.GetToolCall() != nil {
			stalled = number(t, control(t, "stall"))
		}
	}, reprise.Silence(2*time.Second))
	if took := time.Since(begun); stalled < 1 || took > 45*time.Second {
		t.Errorf("%d stalled, took %s", stalled, took)
	}
	sameAsDirect(t, entries, id)
}

func TestASlowReaderIsNotSilence(t *testing.T) {
	api := far(t)
	id := fired(t, api, "[[lines: 3]]")
	_, err := api.Wait(t.Context(), id)
	must(t, err)
	before := control(t, "count")
	entries := followed(t, api, id, func(entry *reprisev1.JournalEntry) {
		if entry.GetSequence() == 2 {
			time.Sleep(4 * time.Second)
		}
	}, reprise.Silence(2*time.Second))
	if after := control(t, "count"); after != before {
		t.Error("it connected again")
	}
	sameAsDirect(t, entries, id)
}

func TestAServerThatRestartsUnderTheRun(t *testing.T) {
	id := fired(t, connect(t), "[[toolcall]] [[sleep: 30]] [[say: done]]")
	restarted := false
	entries := followed(t, far(t), id, func(entry *reprisev1.JournalEntry) {
		if entry.GetToolCall() != nil && !restarted {
			restarted = control(t, "restart") == "ok"
		}
	})
	last := entries[len(entries)-1]
	if !restarted || last.GetOutcome().GetState() != reprisev1.RunState_RUN_STATE_SUCCEEDED || last.GetAttempt() != 2 {
		t.Error(restarted, last)
	}
	sameAsDirect(t, entries, id)
}

func TestAServerThatWasNeverThereIsSaidAtOnce(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	listener.Close()
	begun := time.Now()
	for _, err := range connect(t, reprise.WithAddress(address)).Watch(t.Context(), missing) {
		refused(t, err, codes.Unavailable, "")
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Error(took)
	}
}
