"""Torch models to programs: front end, integer graph, quantisation, schedule, cost, lowering."""
