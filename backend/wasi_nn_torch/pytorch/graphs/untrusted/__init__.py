"""What the check of a guest's model is made of: archive, source, operators, pickled state; only for the checks."""
