package main

import (
	"context"
	"errors"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
)

// What the tests alone need: activities that misbehave in all the ways that workers can.
func init() {
	activities["Echo"] = Echo
	activities["Fail"] = Fail
	activities["FailOddly"] = FailOddly
	activities["AnswerOddly"] = AnswerOddly
	activities["Beat"] = Beat
	activities["FallSilent"] = FallSilent
}

// Echo returns what it is given.
func Echo(_ context.Context, given any) (any, error) {
	return given, nil
}

// Failure says how an attempt fails: the first Times of them (all, if 0).
type Failure struct {
	Type      string `json:"type"`
	Message   string `json:"message"`
	Details   any    `json:"details"`
	Retryable bool   `json:"retryable"`
	Times     int32  `json:"times"`
}

// Fail fails as it is told, then answers which attempt it was that did not.
func Fail(ctx context.Context, given Failure) (map[string]int32, error) {
	attempt := activity.GetInfo(ctx).Attempt
	if given.Times > 0 && attempt > given.Times {
		return map[string]int32{"attempt": attempt}, nil
	}
	options := temporal.ApplicationErrorOptions{NonRetryable: !given.Retryable}
	if given.Details != nil {
		options.Details = []any{given.Details}
	}
	return nil, temporal.NewApplicationErrorWithOptions(given.Message, given.Type, options)
}

// FailOddly fails in ways for which Python has no word.
func FailOddly(_ context.Context, how string) error {
	switch how {
	case "plain":
		return errors.New("just text")
	case "canceled":
		return temporal.NewCanceledError("not asked for")
	case "panic":
		panic("out of cards")
	case "bytes":
		return temporal.NewNonRetryableApplicationError("odd", "Odd", nil, []byte{0xff, 0})
	case "proto":
		detail := &commonpb.WorkflowExecution{WorkflowId: "known to Python"}
		return temporal.NewNonRetryableApplicationError("odd", "Odd", nil, detail)
	case "unreadable":
		detail := converter.NewRawValue(payload("binary/secret", "?"))
		return temporal.NewNonRetryableApplicationError("odd", "Odd", nil, detail)
	case "code":
		return temporal.NewNonRetryableApplicationError("odd", "Odd", nil, map[string]int{"code": 51})
	case "null":
		return temporal.NewNonRetryableApplicationError("o\x00dd", "O\x00dd", nil, "\x00")
	}
	big := strings.Repeat("x", 300_000)
	return temporal.NewNonRetryableApplicationError(big, "Odd", nil, big)
}

// AnswerOddly answers what is no JSON, or too much of it.
func AnswerOddly(_ context.Context, how string) (any, error) {
	switch how {
	case "nothing":
		return nil, nil
	case "nan":
		return converter.NewRawValue(payload("json/plain", `{"rate": NaN}`)), nil
	case "broken":
		return converter.NewRawValue(payload("json/plain", `{"rate": `)), nil
	case "deep":
		deep := strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000)
		return converter.NewRawValue(payload("json/plain", deep)), nil
	case "unreadable":
		return converter.NewRawValue(payload("binary/secret", "?")), nil
	case "bytes":
		return []byte("text, but not as JSON"), nil
	case "proto":
		return &commonpb.WorkflowExecution{WorkflowId: "a", RunId: "b"}, nil
	case "null":
		return map[string]string{"text": "a\x00b"}, nil
	case "large":
		return strings.Repeat("x", 1_100_000), nil
	case "enormous":
		return strings.Repeat("x", 6_000_000), nil
	}
	return strings.Repeat("x", 3_000_000), nil
}

func payload(encoding string, data string) *commonpb.Payload {
	metadata := map[string][]byte{"encoding": []byte(encoding)}
	return &commonpb.Payload{Metadata: metadata, Data: []byte(data)}
}

// Beat gives signs of life until it is told to stop.
func Beat(ctx context.Context) error {
	for {
		activity.RecordHeartbeat(ctx, &commonpb.WorkflowExecution{WorkflowId: "alive"})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// FallSilent hangs in its first attempt after one sign of life, as a worker that dies would.
func FallSilent(ctx context.Context) (map[string]int32, error) {
	attempt := activity.GetInfo(ctx).Attempt
	if attempt == 1 {
		activity.RecordHeartbeat(ctx, []byte{0xff})
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return map[string]int32{"attempt": attempt}, nil
}
