"""Pipelines: a TOML file of stages, checked whole, run step by step; the only state is the artifacts themselves."""
