package reprise

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	reprisev1 "github.com/reprise/reprise/clients/go/reprise/v1"
)

// Client holds the services of one server. It is safe for use by several goroutines; [Connect] makes it.
//
// Every rpc is in one of the services, with the messages of package reprisev1; the methods are short ways to the most used
// ones. All of them give an [*Error] when the server refuses.
type Client struct {
	// Triggers and their deliveries.
	Triggers reprisev1.TriggerServiceClient
	// Runs, live and finished.
	Runs reprisev1.RunServiceClient
	// Sessions are the conversations of the threads.
	Sessions reprisev1.SessionServiceClient
	// Settings are what changes at run time, and what the server is.
	Settings reprisev1.SettingsServiceClient
	// Access says who may call.
	Access reprisev1.AccessServiceClient
	// Gateway is for gateways that receive webhooks in place of the server.
	Gateway reprisev1.WebhookGatewayServiceClient

	options options
	conn    *grpc.ClientConn
}

// Connect prepares the connection to a server; it is made with the first call. What no option says comes from the
// environment: REPRISE_ADDR (or REPRISE_URL), REPRISE_KEY (or REPRISE_API_KEY) and REPRISE_CA_FILE.
func Connect(options ...Option) (*Client, error) {
	settled := settled(options)
	conn, err := dial(settled)
	if err != nil {
		return nil, err
	}
	return &Client{
		Triggers: reprisev1.NewTriggerServiceClient(conn),
		Runs:     reprisev1.NewRunServiceClient(conn),
		Sessions: reprisev1.NewSessionServiceClient(conn),
		Settings: reprisev1.NewSettingsServiceClient(conn),
		Access:   reprisev1.NewAccessServiceClient(conn),
		Gateway:  reprisev1.NewWebhookGatewayServiceClient(conn),
		options:  settled,
		conn:     conn,
	}, nil
}

// Close closes the connection.
func (c *Client) Close() error { return c.conn.Close() }

// CreateTrigger creates a trigger whose runs begin with this prompt; the answer carries its webhook address and, this
// once, the secret that was made for it. The edits are for everything else that the request may hold.
func (c *Client) CreateTrigger(
	ctx context.Context, slug string, source reprisev1.Source, prompt string, edits ...func(*reprisev1.CreateTriggerRequest),
) (*reprisev1.CreateTriggerResponse, error) {
	action := &reprisev1.Trigger_Prompt{Prompt: &reprisev1.PromptAction{Template: prompt}}
	request := &reprisev1.CreateTriggerRequest{Trigger: &reprisev1.Trigger{Slug: slug, Source: source, Action: action}}
	for _, edit := range edits {
		edit(request)
	}
	return c.Triggers.CreateTrigger(ctx, request)
}

// GetTrigger reads a trigger by id or slug.
func (c *Client) GetTrigger(ctx context.Context, triggerID string) (*reprisev1.Trigger, error) {
	answer, err := c.Triggers.GetTrigger(ctx, &reprisev1.GetTriggerRequest{TriggerId: triggerID})
	return answer.GetTrigger(), err
}

// Fire is an event by hand.
type Fire struct {
	// Trigger is its id or slug. Required.
	Trigger string
	// Payload is the event's body: bytes as they are, anything else as JSON.
	Payload any
	// Sample takes one of the source's own events in place of a payload.
	Sample string
	// Event is the kind that some senders name in a header, such as issue_comment.
	Event string
	// Headers are more headers of the event.
	Headers map[string]string
	// ThreadKey is the thread in place of the one that the body gives; a pointer to "" is none.
	ThreadKey *string
	// SessionMode says which conversation is used; by default the trigger decides.
	SessionMode reprisev1.SessionMode
	// Prompt is what the agent is told in place of the trigger's.
	Prompt string
	// SkipFilter leaves out the trigger's filter and start rule.
	SkipFilter bool
	// ValidateOnly runs nothing: the answer's explanation says what would happen.
	ValidateOnly bool
	// RequestID makes a repeat safe for 24 hours.
	RequestID string
}

// Fire fires a trigger by hand; the answer has no run when its rules stop the event.
func (c *Client) Fire(ctx context.Context, fire Fire) (*reprisev1.FireTriggerResponse, error) {
	request := &reprisev1.FireTriggerRequest{
		TriggerId:    fire.Trigger,
		ThreadKey:    fire.ThreadKey,
		SessionMode:  fire.SessionMode,
		SkipFilter:   fire.SkipFilter,
		ValidateOnly: fire.ValidateOnly,
		RequestId:    fire.RequestID,
	}
	if fire.Prompt != "" {
		request.Prompt = &fire.Prompt
	}
	for name, value := range fire.Headers {
		request.Headers = append(request.Headers, &reprisev1.Header{Name: strings.ToLower(name), Value: value})
	}
	if fire.Event != "" {
		// Each source reads its own.
		for _, name := range []string{"x-github-event", "linear-event"} {
			request.Headers = append(request.Headers, &reprisev1.Header{Name: name, Value: fire.Event})
		}
	}
	switch {
	case fire.Sample != "":
		request.Content = &reprisev1.FireTriggerRequest_Sample{Sample: fire.Sample}
	case fire.Payload != nil:
		body, err := bodyOf(fire.Payload)
		if err != nil {
			return nil, err
		}
		request.Content = &reprisev1.FireTriggerRequest_Body{Body: body}
	}
	return c.Triggers.FireTrigger(ctx, request)
}

// Webhook is one webhook as its sender makes it.
type Webhook struct {
	// Slug of the trigger. Required.
	Slug string
	// Secret that signs it. Required.
	Secret string
	// Payload is the body: bytes as they are, anything else as JSON. Required.
	Payload any
	// Event is its kind, where the sender names it in a header.
	Event string
	// ID is the sender's id of the delivery; the same one twice is a duplicate. By default a new one.
	ID string
	// Source says how to sign. By default the trigger is asked.
	Source reprisev1.Source
	// HMAC says how a generic sender signs. By default the trigger is asked, when Source is not given.
	HMAC *reprisev1.HmacProfile
}

// Deliver delivers a webhook, signed as its sender signs it, through the gateway rpc. A webhook that is refused is an
// answer, not an error: see its outcome, reason and reply.
func (c *Client) Deliver(ctx context.Context, webhook Webhook) (*reprisev1.DeliverWebhookResponse, error) {
	if webhook.Source == reprisev1.Source_SOURCE_UNSPECIFIED {
		trigger, err := c.GetTrigger(ctx, webhook.Slug)
		if err != nil {
			return nil, err
		}
		webhook.Source = trigger.GetSource()
		if webhook.HMAC == nil {
			webhook.HMAC = trigger.GetHmac()
		}
	}
	body, err := bodyOf(webhook.Payload)
	if err != nil {
		return nil, err
	}
	headers, err := signedHeaders(webhook, body, time.Now())
	if err != nil {
		return nil, err
	}
	request := &reprisev1.DeliverWebhookRequest{Slug: webhook.Slug, Body: body}
	for _, header := range headers {
		request.Headers = append(request.Headers, &reprisev1.RawHeader{Name: header.name, Value: []byte(header.value)})
	}
	return c.Gateway.DeliverWebhook(ctx, request)
}

// GetRun reads a run.
func (c *Client) GetRun(ctx context.Context, runID string) (*reprisev1.Run, error) {
	answer, err := c.Runs.GetRun(ctx, &reprisev1.GetRunRequest{RunId: runID})
	return answer.GetRun(), err
}

// CancelRun cancels a run; a finished one is left as it is.
func (c *Client) CancelRun(ctx context.Context, runID, reason string) (*reprisev1.Run, error) {
	answer, err := c.Runs.CancelRun(ctx, &reprisev1.CancelRunRequest{RunId: runID, Reason: reason})
	return answer.GetRun(), err
}

// GetSession reads the session of a thread; the trigger is named by id or slug.
func (c *Client) GetSession(ctx context.Context, triggerID, threadKey string) (*reprisev1.Session, error) {
	answer, err := c.Sessions.GetSession(ctx, &reprisev1.GetSessionRequest{TriggerId: triggerID, ThreadKey: threadKey})
	return answer.GetSession(), err
}

// ListTriggers is every trigger that fits the request (nil: all), newest first, page by page. An error ends it.
func (c *Client) ListTriggers(ctx context.Context, request *reprisev1.ListTriggersRequest) iter.Seq2[*reprisev1.Trigger, error] {
	request = copyOf(request)
	return pages(func(token string) ([]*reprisev1.Trigger, string, error) {
		request.PageToken = token
		page, err := c.Triggers.ListTriggers(ctx, request)
		return page.GetTriggers(), page.GetNextPageToken(), err
	})
}

// ListDeliveries is every delivery that fits the request (nil: all), newest first, page by page. An error ends it.
func (c *Client) ListDeliveries(ctx context.Context, request *reprisev1.ListDeliveriesRequest) iter.Seq2[*reprisev1.Delivery, error] {
	request = copyOf(request)
	return pages(func(token string) ([]*reprisev1.Delivery, string, error) {
		request.PageToken = token
		page, err := c.Triggers.ListDeliveries(ctx, request)
		return page.GetDeliveries(), page.GetNextPageToken(), err
	})
}

// ListRuns is every run that fits the request (nil: all), newest first, page by page. An error ends it.
func (c *Client) ListRuns(ctx context.Context, request *reprisev1.ListRunsRequest) iter.Seq2[*reprisev1.Run, error] {
	request = copyOf(request)
	return pages(func(token string) ([]*reprisev1.Run, string, error) {
		request.PageToken = token
		page, err := c.Runs.ListRuns(ctx, request)
		return page.GetRuns(), page.GetNextPageToken(), err
	})
}

// ListSessions is every session that fits the request (nil: all), page by page. An error ends it.
func (c *Client) ListSessions(ctx context.Context, request *reprisev1.ListSessionsRequest) iter.Seq2[*reprisev1.Session, error] {
	request = copyOf(request)
	return pages(func(token string) ([]*reprisev1.Session, string, error) {
		request.PageToken = token
		page, err := c.Sessions.ListSessions(ctx, request)
		return page.GetSessions(), page.GetNextPageToken(), err
	})
}

// copyOf keeps the caller's request as it is; nil asks for everything.
func copyOf[T any, M interface {
	*T
	proto.Message
}](request M) M {
	made := M(new(T))
	if request != nil {
		proto.Merge(made, request)
	}
	return made
}

func pages[T any](read func(token string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for token := ""; ; {
			items, next, err := read(token)
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			token = next
		}
	}
}

func bodyOf(payload any) ([]byte, error) {
	switch payload := payload.(type) {
	case []byte:
		return payload, nil
	case json.RawMessage:
		return payload, nil
	case string:
		return []byte(payload), nil
	}
	body, err := json.Marshal(payload)
	if err != nil {
		return nil, fmt.Errorf("reprise: the payload is no JSON: %w", err)
	}
	return body, nil
}
