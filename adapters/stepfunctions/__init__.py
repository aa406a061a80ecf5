"""The provider `step-functions`: workflows as state machines of AWS Step Functions."""
