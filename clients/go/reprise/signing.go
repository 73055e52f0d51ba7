package reprise

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // Some senders sign with nothing better.
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"

	reprisev1 "github.com/reprise/reprise/clients/go/reprise/v1"
)

type header struct{ name, value string }

// signedHeaders are the headers with which a sender of this source delivers a body.
func signedHeaders(webhook Webhook, body []byte, now time.Time) ([]header, error) {
	id, secret, seconds := webhook.ID, webhook.Secret, strconv.FormatInt(now.Unix(), 10)
	if id == "" {
		id = rand.Text()
	}
	headers := []header{{"content-type", "application/json"}}
	hexOf := func() string { return hex.EncodeToString(mac(sha256.New, []byte(secret), body)) }
	switch webhook.Source {
	case reprisev1.Source_SOURCE_GITHUB:
		headers = append(headers, header{"x-github-delivery", id}, header{"x-hub-signature-256", "sha256=" + hexOf()})
		headers = appendIf(headers, "x-github-event", webhook.Event)
	case reprisev1.Source_SOURCE_LINEAR:
		headers = append(headers, header{"linear-delivery", id}, header{"linear-signature", hexOf()})
		headers = appendIf(headers, "linear-event", webhook.Event)
	case reprisev1.Source_SOURCE_CLICKUP:
		headers = append(headers, header{"x-signature", hexOf()})
	case reprisev1.Source_SOURCE_STANDARD_WEBHOOKS:
		signature := mac(sha256.New, standardKey(secret), []byte(id+"."+seconds+"."), body)
		headers = append(headers, header{"webhook-id", id}, header{"webhook-timestamp", seconds},
			header{"webhook-signature", "v1," + base64.StdEncoding.EncodeToString(signature)})
	case reprisev1.Source_SOURCE_GENERIC_HMAC:
		headers = append(headers, genericHeaders(webhook.HMAC, secret, id, seconds, body)...)
	default:
		return nil, fmt.Errorf("reprise: %s sends no webhooks", webhook.Source)
	}
	return headers, nil
}

func appendIf(headers []header, name, value string) []header {
	if value == "" {
		return headers
	}
	return append(headers, header{name, value})
}

func mac(algorithm func() hash.Hash, key []byte, parts ...[]byte) []byte {
	sum := hmac.New(algorithm, key)
	for _, part := range parts {
		sum.Write(part)
	}
	return sum.Sum(nil)
}

// standardKey is the key in a secret: base64 after whsec_. As the server does, a secret that is not base64 is taken as
// it is.
func standardKey(secret string) []byte {
	encoded := strings.TrimRight(strings.TrimPrefix(secret, "whsec_"), "=")
	if key, err := base64.RawStdEncoding.DecodeString(encoded); err == nil {
		return key
	}
	return []byte(secret)
}

func genericHeaders(profile *reprisev1.HmacProfile, secret, id, seconds string, body []byte) []header {
	template := or(profile.GetSignedTemplate(), "{body}")
	signed := strings.NewReplacer("{body}", string(body), "{timestamp}", seconds, "{id}", id).Replace(template)
	algorithm := sha256.New
	switch profile.GetAlgorithm() {
	case reprisev1.HmacAlgorithm_HMAC_ALGORITHM_SHA1:
		algorithm = sha1.New
	case reprisev1.HmacAlgorithm_HMAC_ALGORITHM_SHA512:
		algorithm = sha512.New
	}
	sum := mac(algorithm, []byte(secret), []byte(signed))
	signature := hex.EncodeToString(sum)
	if profile.GetEncoding() == reprisev1.HmacEncoding_HMAC_ENCODING_BASE64 {
		signature = base64.StdEncoding.EncodeToString(sum)
	}
	headers := []header{{or(profile.GetHeader(), "x-signature"), profile.GetPrefix() + signature}}
	if name := profile.GetTimestampHeader(); name != "" {
		headers = append(headers, header{name, seconds})
	}
	if name := profile.GetIdHeader(); name != "" {
		headers = append(headers, header{name, id})
	}
	return headers
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
