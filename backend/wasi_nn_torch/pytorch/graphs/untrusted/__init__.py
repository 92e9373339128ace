"""The parts of the check of guest-supplied models: archive, source, operators, pickled state."""
