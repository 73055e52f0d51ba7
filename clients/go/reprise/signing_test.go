package reprise

import (
	"testing"
	"time"

	reprisev1 "github.com/reprise/reprise/clients/go/reprise/v1"
)

func value(t *testing.T, webhook Webhook, body, name string, now int64) string {
	t.Helper()
	headers, err := signedHeaders(webhook, []byte(body), time.Unix(now, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range headers {
		if header.name == name {
			return header.value
		}
	}
	t.Fatalf("there is no %s in %v", name, headers)
	return ""
}

func TestSignaturesAreThoseOfTheSenders(t *testing.T) {
	// The example of GitHub's own documentation.
	github := Webhook{Source: reprisev1.Source_SOURCE_GITHUB, Secret: "It's a Secret to Everybody", Event: "push"}
	if got := value(t, github, "Hello, World!", "x-hub-signature-256", 0); got != "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17" {
		t.Error(got)
	}
	if got := value(t, github, "", "x-github-event", 0); got != "push" {
		t.Error(got)
	}
	// The example of the Standard Webhooks specification.
	standard := Webhook{Source: reprisev1.Source_SOURCE_STANDARD_WEBHOOKS, Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ID: "msg_p5jXN8AQM9LWM0D4loKWxJek"}
	if got := value(t, standard, `{"test": 2432232314}`, "webhook-signature", 1_614_265_330); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Error(got)
	}
	if _, err := signedHeaders(Webhook{Source: reprisev1.Source_SOURCE_MANUAL}, nil, time.Now()); err == nil {
		t.Error("nobody signs for a manual trigger")
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"localhost:7700":           "dns:///localhost:7700",
		" http://127.0.0.1:7700/ ": "dns:///127.0.0.1:7700",
		"https://reprise.example":  "dns:///reprise.example:443",
		"[::1]:7700":               "dns:///[::1]:7700",
	} {
		if got, _, err := placeOf(address); err != nil || got != want {
			t.Errorf("%q: %q, %v", address, got, err)
		}
	}
	for _, address := range []string{"ftp://host", "host name:1", "http://host/path", "http://"} {
		if got, _, err := placeOf(address); err == nil {
			t.Errorf("%q is taken as %q", address, got)
		}
	}
}
