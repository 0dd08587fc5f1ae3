"""Transition-based parsing in numpy: states, features, oracle, search; it knows no text, no task and no file.

All sentences of a batch go forward together, a transition a step, so that every step is a few calls on whole arrays.
"""
