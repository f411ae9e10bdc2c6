"""On-chip memories: scratchpad, weight buffer, parameters, tables."""
