"""Benchmarks, comparisons and evaluations."""
