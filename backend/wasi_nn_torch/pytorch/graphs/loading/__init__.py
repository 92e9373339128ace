"""Loading models, one module for each format, and everything that is decided when a model is loaded."""
