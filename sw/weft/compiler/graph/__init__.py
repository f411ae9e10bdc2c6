"""What is computed, in integers."""
