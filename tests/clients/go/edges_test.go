// Errors, signed webhooks, TLS and the example of the README.
package clients

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise/reprise/clients/go/reprise"
	reprisev1 "github.com/reprise/reprise/clients/go/reprise/v1"
)

func refused(t *testing.T, err error, code codes.Code, reason string) *reprise.Error {
	t.Helper()
	var failed *reprise.Error
	if !errors.As(err, &failed) {
		t.Fatalf("%v is no *reprise.Error", err)
	}
	if failed.Code != code || failed.Reason != reason || status.Code(err) != code || (reason != "" && failed.TraceID() == "") {
		t.Fatalf("%v: %+v", err, failed)
	}
	return failed
}

func TestErrorsHaveTheirDetails(t *testing.T) {
	api := connect(t)
	_, err := api.GetRun(t.Context(), missing)
	gone := refused(t, err, codes.NotFound, "RESOURCE_NOT_FOUND")
	if gone.Metadata["kind"] != "run" || gone.Metadata["id"] != missing {
		t.Error(gone.Metadata)
	}
	count := 0
	for _, err := range api.Watch(t.Context(), missing) {
		refused(t, err, codes.NotFound, "RESOURCE_NOT_FOUND")
		count++
	}
	if count != 1 {
		t.Errorf("%d errors", count)
	}
	settings := &reprisev1.Settings{Sessions: &reprisev1.SessionSettings{CleanupHourLocal: proto.Int32(24)}}
	_, err = api.Settings.UpdateSettings(t.Context(), &reprisev1.UpdateSettingsRequest{Settings: settings})
	wrong := refused(t, err, codes.InvalidArgument, "FIELD_INVALID")
	if !strings.Contains(wrong.Fields["settings.sessions.cleanup_hour_local"], "0 to 23") || len(wrong.Fields) != 1 {
		t.Error(wrong.Fields)
	}
	slug, _ := trigger(t, api, reprisev1.Source_SOURCE_MANUAL)
	_, err = api.CreateTrigger(t.Context(), slug, reprisev1.Source_SOURCE_MANUAL, "x")
	if taken := refused(t, err, codes.AlreadyExists, "SLUG_TAKEN"); taken.Metadata["trigger_id"] == "" {
		t.Error(taken.Metadata)
	}
	_, err = connect(t, reprise.WithKey("rk_wrong")).GetRun(t.Context(), missing)
	refused(t, err, codes.Unauthenticated, "KEY_INVALID")
	_, err = connect(t, reprise.WithKey(" ")).GetRun(t.Context(), missing)
	refused(t, err, codes.Unauthenticated, "KEY_MISSING")
	if _, err = reprise.Connect(reprise.WithKey("secret\nkey")); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

func TestWebhooksAreSignedForEverySender(t *testing.T) {
	api := connect(t)
	payload := map[string]any{"action": "created", "issue": map[string]any{"number": 412}, "comment": map[string]any{"body": "Why?", "id": 1}}
	slug, secret := trigger(t, api, reprisev1.Source_SOURCE_GITHUB)
	webhook := reprise.Webhook{Slug: slug, Secret: secret, Payload: payload, Event: "issue_comment", ID: "one"}
	first, err := api.Deliver(t.Context(), webhook)
	must(t, err)
	again, err := api.Deliver(t.Context(), webhook)
	must(t, err)
	webhook.Secret = "not the secret"
	forged, err := api.Deliver(t.Context(), webhook)
	must(t, err)
	if first.GetOutcome() != reprisev1.DeliveryOutcome_DELIVERY_OUTCOME_QUEUED || first.GetReply().GetStatus() != 200 {
		t.Error(first)
	}
	if again.GetOutcome() != reprisev1.DeliveryOutcome_DELIVERY_OUTCOME_DUPLICATE || again.GetRunId() != first.GetRunId() {
		t.Error(again)
	}
	if forged.GetReason() != reprisev1.DeliveryReason_DELIVERY_REASON_SIGNATURE_MISMATCH || forged.GetReply().GetStatus() != 401 {
		t.Error(forged)
	}
	profile := &reprisev1.HmacProfile{
		Header:          proto.String("X-Acme"),
		Prefix:          proto.String("v0="),
		Encoding:        reprisev1.HmacEncoding_HMAC_ENCODING_BASE64.Enum(),
		Algorithm:       reprisev1.HmacAlgorithm_HMAC_ALGORITHM_SHA512.Enum(),
		SignedTemplate:  proto.String("{id}.{timestamp}.{body}"),
		TimestampHeader: proto.String("X-Time"),
		IdHeader:        proto.String("X-Id"),
	}
	for _, sender := range []struct {
		source  reprisev1.Source
		given   string
		profile *reprisev1.HmacProfile
	}{
		{reprisev1.Source_SOURCE_LINEAR, "lin_wh_secret_of_nobody", nil},
		{reprisev1.Source_SOURCE_CLICKUP, "CLICKUPSECRETOFNOBODY", nil},
		{reprisev1.Source_SOURCE_STANDARD_WEBHOOKS, "", nil},
		{reprisev1.Source_SOURCE_GENERIC_HMAC, "", nil},
		{reprisev1.Source_SOURCE_GENERIC_HMAC, "", profile},
	} {
		slug, secret := trigger(t, api, sender.source, func(request *reprisev1.CreateTriggerRequest) {
			request.Trigger.Hmac = sender.profile
			if sender.given != "" {
				request.Secret = &sender.given
			}
		})
		body := `{"type":"Issue","action":"create","event":"taskCreated","data":{"id":"1"}}`
		taken, err := api.Deliver(t.Context(), reprise.Webhook{Slug: slug, Secret: secret + sender.given, Payload: body, Event: "Issue"})
		must(t, err)
		if taken.GetReply().GetStatus() != 200 || taken.GetOutcome() == reprisev1.DeliveryOutcome_DELIVERY_OUTCOME_REJECTED {
			t.Errorf("%s: %v", sender.source, taken)
		}
		forged, err := api.Deliver(t.Context(), reprise.Webhook{Slug: slug, Secret: "x", Payload: body, Event: "Issue", Source: sender.source, HMAC: sender.profile})
		must(t, err)
		if forged.GetReason() != reprisev1.DeliveryReason_DELIVERY_REASON_SIGNATURE_MISMATCH {
			t.Errorf("%s: %v", sender.source, forged)
		}
	}
}

func TestEverythingWorksOverTLS(t *testing.T) {
	api := connect(t, reprise.WithAddress(os.Getenv("TEST_TLS_ADDR")), reprise.WithCAFile(os.Getenv("TEST_CA_FILE")))
	id := fired(t, api, "[[toolcall]] [[say: sealed]]")
	entries := followed(t, api, id, nothing)
	for n, entry := range entries {
		if entry.GetSequence() != int32(n+1) {
			t.Fatal(n, entry)
		}
	}
	if text := entries[len(entries)-1].GetOutcome().GetResultText(); text != "sealed" {
		t.Error(text)
	}
	_, err := api.GetRun(t.Context(), missing)
	refused(t, err, codes.NotFound, "RESOURCE_NOT_FOUND")
	_, err = connect(t, reprise.WithAddress(os.Getenv("TEST_TLS_ADDR"))).GetRun(t.Context(), missing)
	if stranger := refused(t, err, codes.Unavailable, ""); !strings.Contains(stranger.Message, "certificate") {
		t.Error(stranger)
	}
}

func TestTheExampleOfTheReadmeRunsAsItStands(t *testing.T) {
	readme, err := os.ReadFile("../../../clients/go/README.md")
	must(t, err)
	block := regexp.MustCompile("(?s)```go\n(package main\n.*?)```").FindSubmatch(readme)
	if block == nil {
		t.Fatal("the README has lost its example")
	}
	api := connect(t)
	if _, err := api.GetTrigger(t.Context(), "github-demo"); err != nil {
		_, err := api.CreateTrigger(t.Context(), "github-demo", reprisev1.Source_SOURCE_GITHUB, "{{ event.text }} [[say: HERON.]]")
		must(t, err)
	}
	// Below this module, so that its replacement of the client holds.
	place, err := os.MkdirTemp(".", "example")
	must(t, err)
	defer os.RemoveAll(place)
	must(t, os.WriteFile(filepath.Join(place, "main.go"), block[1], 0o600))
	output, err := exec.CommandContext(t.Context(), "go", "run", "./"+place).CombinedOutput()
	if err != nil || !strings.Contains(string(output), "HERON") {
		t.Errorf("%v\n%s", err, output)
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	found, err := strconv.Atoi(text)
	must(t, err)
	return found
}
