// A worker in Go that serves tasks of steploom's workflows.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
)

// Charge is the step's input, Receipt its output: plain JSON both.
type Charge struct {
	OrderID string  `json:"orderId"`
	Amount  float64 `json:"amount"`
}

type Receipt struct {
	ChargeID string  `json:"chargeId"`
	Amount   float64 `json:"amount"`
}

// Refusal says why. Its code is what `errorCode` in a definition is compared with.
type Refusal struct {
	Code  string  `json:"code"`
	Limit float64 `json:"limit"`
}

var errGateway = errors.New("the gateway did not answer")

// ChargeCard takes the money, once, however often it is tried.
func ChargeCard(ctx context.Context, charge Charge) (Receipt, error) {
	info := activity.GetInfo(ctx)
	if charge.Amount > 10_000 {
		return Receipt{}, temporal.NewNonRetryableApplicationError(
			"the card has a limit", "CardDeclined", nil, Refusal{Code: "51", Limit: 10_000})
	}
	if charge.OrderID == "slow-gateway" && info.Attempt == 1 {
		return Receipt{}, temporal.NewApplicationErrorWithCause(
			"try again", "GatewayError", errGateway)
	}
	// The idempotency key: the same on each attempt, and another one for each step of each run.
	return Receipt{ChargeID: "ch-" + info.ActivityID, Amount: charge.Amount}, nil
}

// The activities, by the names that the catalogue gives them.
var activities = map[string]any{"ChargeCard": ChargeCard}

func main() {
	temporalClient, err := client.Dial(client.Options{
		HostPort:  os.Getenv("TEMPORAL_ADDRESS"),
		Namespace: os.Getenv("TEMPORAL_NAMESPACE"),
	})
	if err != nil {
		log.Fatalln("no Temporal:", err)
	}
	defer temporalClient.Close()
	serving := worker.New(temporalClient, os.Getenv("TASK_QUEUE"), worker.Options{
		// The answer to a heartbeat says whether the run was cancelled.
		MaxHeartbeatThrottleInterval: 2 * time.Second,
	})
	for name, task := range activities {
		serving.RegisterActivityWithOptions(task, activity.RegisterOptions{Name: name})
	}
	if err := serving.Run(worker.InterruptCh()); err != nil {
		log.Fatalln("the worker stopped:", err)
	}
}
