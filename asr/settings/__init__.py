"""Every setting of the project, with its default and its bounds: one module per package, the commands last.

Settings are plain dataclasses, complete without arguments and checked when they are made: `ModelConfig(depth=0)` raises
`ConfigError`. Nothing here depends on Hydra. The docstring under a field is its help text.
"""
