"""Changes to a model that make it faster, when it is loaded."""
