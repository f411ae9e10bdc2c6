"""The compute unit: sequencer, weight-stationary array, accumulators, requantise, result writer."""
