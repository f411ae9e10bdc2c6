"""Depthwise convolution: a window of pixels, R channels at a time, beside the array."""
