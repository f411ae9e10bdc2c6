"""Convolutional networks in their standard shapes, written for Weft."""
