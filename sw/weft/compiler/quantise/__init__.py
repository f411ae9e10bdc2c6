"""From floats and ranges to integers."""
