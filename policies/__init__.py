"""What a stack may not do: a Pulumi policy pack of pure checks with thin adapters."""
