package reprise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is an rpc that failed, with the details that the server gave. A run that failed is not an error: its state and
// failure say so.
//
//	var refused *reprise.Error
//	if errors.As(err, &refused) && refused.Reason == "RESOURCE_NOT_FOUND" {
//		fmt.Println("there is no", refused.Metadata["kind"], refused.Metadata["id"])
//	}
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Message says what happened, in one sentence for people.
	Message string
	// Reason says why, as a name of ErrorReason without its prefix, such as FIELD_INVALID. Empty: not said by the server.
	Reason string
	// Metadata holds details by name; which ones, ErrorReason says for each reason.
	Metadata map[string]string
	// Fields holds for each field that is wrong its path, and what is wrong with it.
	Fields map[string]string
	// RetryDelay is the time after which it may work. 0: waiting alone does not help.
	RetryDelay time.Duration

	status *status.Status
}

// Error is the message with its reason.
func (e *Error) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("%s (%s)", e.Message, e.Code)
	}
	return fmt.Sprintf("%s (%s)", e.Message, e.Reason)
}

// GRPCStatus is the status behind it, for package status.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// TraceID is the id under which the server's log has the details. Empty: none.
func (e *Error) TraceID() string { return e.Metadata["trace_id"] }

// Unwrap lets errors.Is find context.Canceled and context.DeadlineExceeded.
func (e *Error) Unwrap() error {
	switch e.Code {
	case codes.Canceled:
		return context.Canceled
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// fromStatus gives an error that comes from gRPC its details.
func fromStatus(err error) error {
	var already *Error
	if err == nil || errors.Is(err, io.EOF) || errors.As(err, &already) {
		return err
	}
	found := status.Convert(err)
	made := &Error{Code: found.Code(), Message: found.Message(), status: found}
	for _, detail := range found.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			made.Reason, made.Metadata = detail.GetReason(), detail.GetMetadata()
		case *errdetails.BadRequest:
			made.Fields = make(map[string]string)
			for _, violation := range detail.GetFieldViolations() {
				made.Fields[violation.GetField()] = violation.GetDescription()
			}
		case *errdetails.RetryInfo:
			made.RetryDelay = detail.GetRetryDelay().AsDuration()
		}
	}
	return made
}

// unavailable is an error that is found here, not by the server.
func unavailable(message string) *Error {
	return &Error{Code: codes.Unavailable, Message: message, status: status.New(codes.Unavailable, message)}
}
