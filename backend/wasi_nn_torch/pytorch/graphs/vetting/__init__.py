"""The check of guest-supplied models, before anything of them is loaded: `check_torchscript` and `check_exported`.

The other modules are its parts: the archive, the source, the operators, the pickled state.
"""
