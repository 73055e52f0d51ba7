package reprise

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

const (
	defaultAddress = "127.0.0.1:7700"
	defaultTimeout = 30 * time.Second
	largestMessage = 32 << 20
)

// Option says something about the connection that the environment does not.
type Option func(*options)

type options struct {
	address, key, caFile string
	timeout              time.Duration
}

// WithAddress names the server: localhost:7700, http://host:port or https://host.
// Without it REPRISE_ADDR or REPRISE_URL counts.
func WithAddress(address string) Option {
	return func(o *options) { o.address = address }
}

// WithKey gives the API key. Without it REPRISE_KEY or REPRISE_API_KEY counts.
func WithKey(key string) Option {
	return func(o *options) { o.key = key }
}

// WithCAFile names the certificates to trust with https://, as PEM, in place of the system's.
// Without it REPRISE_CA_FILE counts.
func WithCAFile(path string) Option {
	return func(o *options) { o.caFile = path }
}

// WithTimeout sets the deadline of each call that is no stream and whose context has none. The default is 30 s, 0 is none.
func WithTimeout(timeout time.Duration) Option {
	return func(o *options) { o.timeout = timeout }
}

func settled(given []Option) options {
	o := options{
		address: environment("REPRISE_ADDR", "REPRISE_URL"),
		key:     environment("REPRISE_KEY", "REPRISE_API_KEY"),
		caFile:  environment("REPRISE_CA_FILE"),
		timeout: defaultTimeout,
	}
	for _, option := range given {
		option(&o)
	}
	if strings.TrimSpace(o.address) == "" {
		o.address = defaultAddress
	}
	o.key = strings.TrimSpace(o.key)
	return o
}

// environment is the first of these variables that says something.
func environment(names ...string) string {
	for _, name := range names {
		if value := strings.TrimSpace(os.Getenv(name)); value != "" {
			return value
		}
	}
	return ""
}

// dial prepares a connection with everything that the services need. It is made with the first call, and again when it
// must.
func dial(o options) (*grpc.ClientConn, error) {
	target, secure, err := placeOf(o.address)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(o.key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		// The key itself must not appear in the message.
		return nil, errors.New("reprise: the API key has characters that no key has")
	}
	transport := insecure.NewCredentials()
	if secure {
		if transport, err = tlsFor(o.caFile); err != nil {
			return nil, err
		}
	}
	calls := calls{key: o.key, timeout: o.timeout}
	reconnect := grpc.ConnectParams{
		// A server that restarts is found again within seconds.
		Backoff:           backoff.Config{BaseDelay: 250 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
		MinConnectTimeout: 5 * time.Second,
	}
	return grpc.NewClient(
		target,
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent("reprise-go/0.1.0"),
		grpc.WithUnaryInterceptor(calls.unary),
		grpc.WithStreamInterceptor(calls.stream),
		grpc.WithConnectParams(reconnect),
		// A connection that is gone without a word is noticed, also while a stream is silent.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largestMessage), grpc.MaxCallSendMsgSize(largestMessage)),
	)
}

// placeOf reads an address: the target, and whether it is reached over TLS.
func placeOf(address string) (target string, secure bool, err error) {
	text := strings.TrimSpace(address)
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" || strings.Trim(parsed.Path, "/") != "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return "", false, fmt.Errorf("reprise: %q is no address: expected HOST:PORT, http://HOST:PORT or https://HOST", address)
	}
	secure = parsed.Scheme == "https"
	port := parsed.Port()
	switch {
	case port != "":
	case secure:
		port = "443"
	default:
		port = "80"
	}
	return "dns:///" + net.JoinHostPort(parsed.Hostname(), port), secure, nil
}

func tlsFor(caFile string) (credentials.TransportCredentials, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("reprise: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reprise: %s holds no certificate", caFile)
		}
	}
	return credentials.NewTLS(config), nil
}

// calls adds key and deadline to each call, and turns statuses into errors with their details.
type calls struct {
	key     string
	timeout time.Duration
}

func (c calls) with(ctx context.Context) context.Context {
	if c.key == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.key)
}

func (c calls) unary(
	ctx context.Context, method string, request, answer any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if _, has := ctx.Deadline(); !has && c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	return fromStatus(invoke(c.with(ctx), method, request, answer, conn, options...))
}

func (c calls) stream(
	ctx context.Context, description *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	inner, err := streamer(c.with(ctx), description, conn, method, options...)
	if err != nil {
		return nil, fromStatus(err)
	}
	return stream{inner}, nil
}

// stream is a stream with errors that have their details.
type stream struct{ grpc.ClientStream }

func (s stream) RecvMsg(message any) error {
	return fromStatus(s.ClientStream.RecvMsg(message))
}
