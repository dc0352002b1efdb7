"""Sound inside a TensorFlow graph: WAV bytes to a waveform at a rate, and refusals.

What a SavedModel does by itself on any server: standard operations only, no Python.
"""
